"""Voices: a recording and its transcript, prepared once so that speaking with them starts at once.

What takes time is done beforehand: encoding the recording, reading it with the model (keys and
values of its text and frames), and running the codec's decoder through it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sled.cache import CachedRow
from sled.codec import Codec
from sled.codec.streaming_state import StreamState
from sled.decoding import Decoder, DecodingOptions, Request, UtteranceState
from sled.layout import Layout
from sled.model import SpeechLlamaForCausalLM
from sled.streaming.text import GrowingText
from sled.text import TextTokenizer

FILE_FORMAT = "sled-voice-1"


def model_digest(model: SpeechLlamaForCausalLM) -> str:
    """Hexadecimal digest of a model's weights, in the precision they are held in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Voice:
    """A voice that one model and one codec speak with.

    Attributes:
        text: What is said in the recording.
        latents: [P, D] float32 frames of the recording.
        layout: In which the model has read them.
        prefill: The model after the text and as many of the frames as the layout puts before any
            further text; to be continued by `Decoder.restore`.
        run_in: The codec's decoder after the frames.
        samples_run_in: Samples that have come out of it by then.
    """

    text: str
    latents: Tensor
    layout: Layout
    prefill: UtteranceState
    run_in: StreamState
    samples_run_in: int

    @classmethod
    def prepare(
        cls,
        text: str,
        latents: Tensor,
        *,
        model: SpeechLlamaForCausalLM,
        tokenizer: TextTokenizer,
        codec: Codec,
        layout: Layout | None = None,
    ) -> Voice:
        """Let model and codec go through a recording.

        Args:
            text: What is said in it.
            latents: [P, D] its frames.
            model, tokenizer, codec: What will speak.
            layout: To speak in. None: the checkpoint's own.

        Raises:
            ValueError: If the model's positions leave no room after the recording.
        """
        decoder = Decoder(model)
        request = prompt_request(text, latents, tokenizer)
        # Under guidance: the text-free companion is left out later if it is not wanted.
        decoder.join(request, options=DecodingOptions(), layout=layout)
        decoder.read_ahead()
        prefill = decoder.save(decoder.utterances[0])
        return cls._assemble(text, latents, layout or model.layout, prefill, codec)

    @classmethod
    def _assemble(
        cls, text: str, latents: Tensor, layout: Layout, prefill: UtteranceState, codec: Codec
    ) -> Voice:
        latents = latents.float()
        stream = codec.stream_decoder()
        samples = stream.decode(latents[None]).shape[1]
        return cls(text, latents, layout, prefill, stream.state, samples)

    def save(self, path: str | Path, model: SpeechLlamaForCausalLM, codec: Codec) -> None:
        """Write a voice file, for this model and this codec only."""
        tensors = {"latents": self.latents.cpu()}
        for row, cached in enumerate(self.prefill.cached):
            tensors[f"keys.{row}"], tensors[f"values.{row}"] = (x.cpu() for x in cached)
        description = {
            "text": self.text,
            "text_chunk": self.layout.text_chunk,
            "speech_chunk": self.layout.speech_chunk,
            "model": model_digest(model),
            "codec": codec.digest(),
        }
        metadata = {"format": FILE_FORMAT, "voice": json.dumps(description)}
        save_file(tensors, str(path), metadata=metadata)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        model: SpeechLlamaForCausalLM,
        tokenizer: TextTokenizer,
        codec: Codec,
    ) -> Voice:
        """Read a voice file.

        Raises:
            ValueError: If there is none, it is broken, or it was made with another model or codec.
        """
        if not Path(path).is_file():
            raise ValueError(f"no voice file at {path}: make one with scripts/make_voice.py")
        try:
            with safe_open(str(path), "pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path} is no voice file that can be read ({error})") from error
        if metadata.get("format") != FILE_FORMAT:
            raise ValueError(f"{path} is no voice file: make one with scripts/make_voice.py")
        description = json.loads(metadata["voice"])
        for part, digest in (("model", model_digest(model)), ("codec", codec.digest())):
            if description[part] != digest:
                raise ValueError(
                    f"{path} was made with another {part} (or in another precision): make it again "
                    "with scripts/make_voice.py"
                )
        text = description["text"]
        latents = tensors["latents"].to(model.device)
        layout = Layout(description["text_chunk"], description["speech_chunk"])
        request = prompt_request(text, latents, tokenizer)
        decoder = Decoder(model)
        utterance = decoder.join(request, options=DecodingOptions(), layout=layout)
        for row in utterance.rows:  # as after reading ahead
            del row.unread[:-1]
        cached = tuple(
            CachedRow(*(tensors[f"{what}.{row}"].to(model.device) for what in ("keys", "values")))
            for row in range(len(utterance.rows))
        )
        prefill = replace(decoder.save(utterance), cached=cached)
        return cls._assemble(text, latents, layout, prefill, codec)


def prompt_request(text: str, latents: Tensor, tokenizer: TextTokenizer) -> Request:
    """A request to speak on after a prompt: its text, and its frames [P, D]."""
    token_ids = GrowingText(tokenizer).feed(f"{text} ")
    return Request(token_ids, latents, text_ended=False, prompt_tokens=len(token_ids))
