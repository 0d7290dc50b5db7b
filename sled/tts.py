"""The face users import: text to speech with one object.

from sled import TTS

tts = TTS.from_pretrained()
speech = tts.synthesize("four two seven")
speech.save("out.wav")
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sled.bundled import BUNDLED_MODEL
from sled.codec import Codec, load_codec
from sled.data.audio import check_audible, read_audio, write_audio
from sled.generate import DecodingOptions, Request, Step, generate
from sled.layout import Layout
from sled.model import SpeechLlamaForCausalLM
from sled.text import TextTokenizer

logger = logging.getLogger(__name__)

DEFAULT_CODEC = "facebook/encodec_24khz"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, eq=False)
class Prompt:
    """A voice to continue: what was said and the recording of it.

    Attributes:
        text: Transcript of the recording.
        audio: A file in any format that soundfile reads, or a mono waveform [S] at the codec's
            sample rate.
    """

    text: str
    audio: str | Path | np.ndarray | Tensor

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError("the prompt has no text: give the words spoken in its audio")


@dataclass(frozen=True, eq=False)
class Speech:
    """One utterance.

    Attributes:
        audio: [S] float32 waveform.
        sample_rate: In Hz.
        latents: [T, D] the frames it was decoded from.
        stopped: True if the model ended it, False if it was cut at the frame limit.
    """

    audio: np.ndarray
    sample_rate: int
    latents: Tensor
    stopped: bool

    @property
    def seconds(self) -> float:
        return len(self.audio) / self.sample_rate

    def save(self, path: str | Path) -> None:
        """Write an audio file in the format of its suffix."""
        write_audio(path, self.audio, self.sample_rate)


class TTS:
    """A model, its tokenizer and its codec.

    Args:
        model: In evaluation mode, on the device and in the dtype to run with.
        tokenizer: The model's.
        codec: On the same device; always float32.

    Raises:
        ValueError: If the codec's latents are not the model's.
    """

    def __init__(
        self, model: SpeechLlamaForCausalLM, tokenizer: TextTokenizer, codec: Codec
    ) -> None:
        config = model.config
        if (codec.latent_dim, codec.frame_rate) != (config.vae_embed_dim, config.frame_rate):
            raise ValueError(
                f"the codec has {codec.latent_dim} wide latents at {codec.frame_rate:g} a second, "
                f"the model speaks {config.vae_embed_dim} wide ones at {config.frame_rate:g}: "
                "use the codec the model was trained with"
            )
        if tokenizer.vocab_size > config.vocab_size:
            raise ValueError(
                f"the tokenizer has {tokenizer.vocab_size} tokens, the model {config.vocab_size}: "
                "use the tokenizer the model was trained with"
            )
        self.model, self.tokenizer, self.codec = model, tokenizer, codec

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path | None = None,
        *,
        codec: str | Path | None = None,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> TTS:
        """Load everything that speaking needs.

        Args:
            name_or_path: Checkpoint folder or hub name. None: the model that comes with the
                package.
            codec: Codec folder, hub name or `.th` file. None: a folder `codec` in or beside the
                checkpoint if there is one, else the published Encodec.
            device: Such as "cpu", "cuda", "cuda:1" or "mps".
            dtype: Of the model: "float32", "bfloat16" or "float16".

        Raises:
            ValueError: If a part is missing, broken or does not fit the others.
        """
        if dtype not in DTYPES:
            raise ValueError(f"dtype={dtype!r}: choose one of {', '.join(DTYPES)}")
        if name_or_path is None:
            name_or_path = BUNDLED_MODEL
        _check_checkpoint(name_or_path)
        if codec is None:
            beside = [Path(name_or_path) / "codec", Path(name_or_path).parent / "codec"]
            codec = next((path for path in beside if path.is_dir()), DEFAULT_CODEC)
        try:
            model = SpeechLlamaForCausalLM.from_pretrained(name_or_path, dtype=DTYPES[dtype])
        except OSError as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"no checkpoint at {str(name_or_path)!r}: {reason}") from error
        tokenizer = TextTokenizer.from_pretrained(name_or_path)
        return cls(model.to(device).eval(), tokenizer, load_codec(codec, device=device))

    def synthesize(
        self,
        texts: Sequence[str],
        *,
        prompts: Prompt | Sequence[Prompt | None] | None = None,
        seeds: int | Sequence[int] = 0,
        options: DecodingOptions | None = None,
        layout: Layout | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> list[Speech]:
        """Speak a batch of texts, each of which sounds as it would alone.

        Args:
            texts: What to say.
            prompts: A voice to continue for all texts, or one for each.
            seeds: Seed of the first text, counted up for the others, or one for each.
            options: How to draw frames and when to stop.
            layout: None: as the checkpoint's configuration says.
            on_step: Called after each frame, for example to move a progress bar.

        Returns:
            One utterance per text, in order; without the prompts' speech.

        Raises:
            ValueError: For blank text, text that does not fit the model, or an unusable prompt.
        """
        if isinstance(texts, str):
            raise ValueError("give a list of texts; for a single one use say()")
        if prompts is None or isinstance(prompts, Prompt):
            prompts = [prompts] * len(texts)
        if isinstance(seeds, int):
            seeds = range(seeds, seeds + len(texts))
        if len(prompts) != len(texts) or len(seeds) != len(texts):
            raise ValueError(
                f"{len(texts)} texts, {len(prompts)} prompts, {len(seeds)} seeds: one for each"
            )
        if any(not -(2**63) <= seed < 2**63 for seed in seeds):
            raise ValueError(f"seeds {list(seeds)}: a seed is a number of at most 63 bits")
        encoded: dict[int, Tensor] = {}  # a prompt shared by many texts is encoded once
        requests = []
        for line, prompt in zip(texts, prompts, strict=True):
            if prompt is not None and id(prompt) not in encoded:
                encoded[id(prompt)] = self._encode_prompt(prompt)
            requests.append(self._request(line, prompt, encoded.get(id(prompt))))
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        results = generate(self.model, requests, generators, options, layout, on_step)
        return [
            self._speak(result.speech, request.prompt, result.stopped)
            for result, request in zip(results, requests, strict=True)
        ]

    def say(
        self,
        text: str,
        *,
        prompt: Prompt | None = None,
        seed: int = 0,
        options: DecodingOptions | None = None,
    ) -> Speech:
        """Speak one text; arguments as for `synthesize`."""
        return self.synthesize([text], prompts=prompt, seeds=seed, options=options)[0]

    def _request(self, text: str, prompt: Prompt | None, latents: Tensor | None) -> Request:
        if not text.strip():
            raise ValueError("the text is blank: give at least one word to say")
        if prompt is not None:
            text = f"{prompt.text.strip()} {text.strip()}"
        return Request(self.tokenizer.encode(text), latents)

    @torch.inference_mode()
    def _encode_prompt(self, prompt: Prompt) -> Tensor:
        """Latents [P, D] of a prompt's audio."""
        audio = prompt.audio
        if isinstance(audio, str | Path):
            waveform = read_audio(audio, self.codec.sample_rate)
        else:
            waveform = torch.as_tensor(audio, dtype=torch.float32).cpu()
            if waveform.ndim != 1:
                raise ValueError(f"a prompt must be mono, [samples]; got {list(waveform.shape)}")
            check_audible(waveform.numpy(), "the prompt")
        codes = self.codec.encode([waveform.to(self.model.device)])[0]  # [K, P]
        return self.codec.codes_to_latents(codes)

    @torch.inference_mode()
    def _speak(self, latents: Tensor, prompt: Tensor | None, stopped: bool) -> Speech:
        """Waveform of new frames [T, D]; the prompt's frames run the decoder in, and are cut."""
        lead = 0 if prompt is None else len(prompt)
        frames = latents.float() if prompt is None else torch.cat((prompt, latents.float()))
        if len(latents) == 0:
            audio = np.zeros(0, dtype=np.float32)
        else:
            decoded = self.codec.decode(frames[None])[0]
            audio = decoded[lead * self.codec.hop_length :].cpu().numpy()
        return Speech(audio, self.codec.sample_rate, latents.float().cpu(), stopped)


def _check_checkpoint(name_or_path: str | Path) -> None:
    """Refuse what looks like a path but holds no checkpoint, before a hub is asked for it."""
    path = Path(name_or_path)
    if path.is_dir():
        missing = [f for f in ("config.json", "model.safetensors") if not (path / f).is_file()]
        if missing:
            raise ValueError(
                f"{path} is no checkpoint: it lacks {' and '.join(missing)}; "
                "name the folder that training saved"
            )
    elif path.exists() or path.is_absolute() or str(name_or_path).startswith((".", "~")):
        raise ValueError(f"no checkpoint folder at {path}: check the path")
