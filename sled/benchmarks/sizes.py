"""The sizes of models that are measured, and their codecs."""

from __future__ import annotations

import torch

from sled.bundled import BUNDLED_MODELS
from sled.codec import Codec, CodecParts, Group, load_codec
from sled.codec.encodec.config import EncodecConfig
from sled.codec.encodec.initialize import new_encodec
from sled.fast import use_kernels
from sled.model.config import Architecture, Config

FRAMES_IN_GROUP = 4


def make_config(size: str) -> Config:
    """Return the configuration of one of `sled.benchmarks.flags.SIZES`."""
    if size == "published":
        return Config()
    if size == "published-x4":
        config = Config()
        config.architecture.vae_embed_dim *= FRAMES_IN_GROUP
        config.architecture.frame_rate /= FRAMES_IN_GROUP
        return config
    if size in BUNDLED_MODELS:
        return Config.load(BUNDLED_MODELS[size].folder)
    return Config(
        Architecture(
            vocab_size=320,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            diffloss_d=2,
            diffloss_w=64,
            noise_channels=16,
        )
    )


def describe_weights(size: str) -> str:
    """Return a description of the weights of one of `sled.benchmarks.flags.SIZES`."""
    return "a bundled model" if size in BUNDLED_MODELS else "random weights"


def make_codec(size: str, device: torch.device) -> Codec:
    """Return the codec of one of `sled.benchmarks.flags.SIZES`."""
    if size in BUNDLED_MODELS:
        codec = load_codec(BUNDLED_MODELS[size].folder / "codec", device)
    else:
        codec = untrained_codec(size).assemble(device)
    use_kernels(codec)
    return codec


def untrained_codec(size: str) -> CodecParts:
    """Return an Encodec of the published sizes with random weights, with the transforms of a size.

    Args:
        size: One of `sled.benchmarks.flags.SIZES` that is not a bundled model.
    """
    model = new_encodec(EncodecConfig())
    for codebook in model.quantizer.codebooks:
        codebook.embed.normal_()
    return CodecParts(model, (Group(FRAMES_IN_GROUP),) if size == "published-x4" else ())
