"""Tiny builders that the tests share: a model, its parts, and a checkpoint folder on disk.

Shapes as in the package: L text tokens, T frames, S samples, D latent width.
"""

import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import torch
from lhotse import MonoCut, Recording, SupervisionSegment
from torch import Tensor

from sled.codec import Codec, load_codec
from sled.codec.transformed import TransformedCodec
from sled.codec.transforms import TokenChannel
from sled.model.config import Config
from sled.model.huggingface import SpeechLlamaConfig, SpeechLlamaForCausalLM
from sled.model.lm import SpeechLM
from sled.model.registry import save_speech_lm
from sled.streaming.voice import Prompt
from sled.text.tokenizer import TextTokenizer

GOLDENS = Path(__file__).parent / "goldens"
SAMPLE_RATE = 24_000
HOP = 320

OFFLINE = {}
STREAM = {"stream_n": 3, "stream_m": 4}
LAYOUTS = [OFFLINE, STREAM]
# For pytest.mark.parametrize over LAYOUTS.
LAYOUT_IDS = ["offline", "stream"]


def debug_config(**changes: object) -> Config:
    """A configuration of some ten thousand parameters, without dropout; any key can be changed."""
    sizes: dict[str, object] = {
        "vocab_size": 300,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 256,
        "vae_embed_dim": 32,
        "diffloss_d": 2,
        "diffloss_w": 24,
        "noise_channels": 8,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
    }
    return Config.from_dict(sizes | changes)


def debug_model(seed: int = 0, **changes: object) -> SpeechLM:
    """A model in evaluation mode in which every weight matters, unlike in a freshly made one.

    A new model's head writes zeros whatever it reads; here every weight is random. They are small
    enough that free-running frames do not amplify rounding, and the stop head's large enough that
    it now and then says stop.
    """
    model = SpeechLM(debug_config(**changes))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if "embed_tokens" in name:
                weight.copy_(noise)
            elif weight.ndim == 2:
                gain = 2.0 if "eos_head" in name else 0.5
                weight.copy_(gain * noise / weight.shape[1] ** 0.5)
            else:  # biases around 0, the scales of norms around 1
                weight.copy_(0.1 * noise + ("norm" in name or "_ln.weight" in name))
    return model.eval()


def for_transformers(model: SpeechLM) -> SpeechLlamaForCausalLM:
    """The same model in the form for transformers."""
    theirs = SpeechLlamaForCausalLM(SpeechLlamaConfig(**model.config.to_dict()))
    theirs.load_state_dict(model.state_dict())
    return theirs.train(model.training)


@cache
def debug_tokenizer() -> TextTokenizer:
    """At most 300 entries, so it fits `debug_config`."""
    return TextTokenizer.train(["four two seven", "one four nine", "seven two one"] * 2, 300)


@cache
def debug_codec() -> Codec:
    """A random Encodec with the width of `debug_config`: 24 kHz, hop 320, latents of 32."""
    return load_codec(GOLDENS / "codec")


@cache
def debug_marked_codec() -> Codec:
    """A random codec whose units tell which token they say; latents of 40."""
    channel = TokenChannel.random(300, width=8, norm=0.01)  # so that any token is as likely
    return TransformedCodec(debug_codec(), [channel])


def debug_marked_model(**changes: object) -> SpeechLM:
    """A model for `debug_marked_codec`, whose speech passes its text at a steady pace."""
    return debug_model(vae_embed_dim=40, **changes)


def debug_checkpoint(folder: Path, seed: int = 0, **changes: object) -> Path:
    """A folder with everything that speaking needs: config, weights, tokenizer and codec."""
    save_speech_lm(debug_model(seed, **changes), folder)
    debug_tokenizer().save_pretrained(folder)
    shutil.copytree(GOLDENS / "codec", folder / "codec")
    return folder


def debug_waveform(seconds: float, seed: int = 0, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Noise [S] float32 with a fade at both ends: audible and not periodic."""
    noise = np.random.default_rng(seed).normal(size=round(seconds * sample_rate))
    return (0.1 * noise * np.hanning(len(noise))).astype(np.float32)


def debug_prompt(
    text: str, audio: object, conditions: Mapping[str, Tensor] | None = None
) -> Prompt:
    """A prompt that is continued as it is: noise has neither the level nor the length of a text."""
    return Prompt(text, audio, conditions or {}, as_recorded=True)


def debug_cut(
    path: Path, seconds: float, text: str, speaker: str | None = None, seed: int = 0
) -> MonoCut:
    """A cut that is the whole of a new file at this path, named after it."""
    soundfile.write(path, debug_waveform(seconds, seed), SAMPLE_RATE)
    recording = Recording.from_file(path)
    said = SupervisionSegment(
        path.stem, recording.id, 0, recording.duration, text=text, speaker=speaker
    )
    return MonoCut(path.stem, 0, recording.duration, 0, [said], recording=recording)


def randn(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers that depend on the seed alone."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
