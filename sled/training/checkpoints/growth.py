"""Growing a model: a larger model that computes the same function, to continue training from.

After Net2Net (Chen et al. 2016, arXiv 1511.05641). New units are not copies of old ones: their
inputs are random and their outputs are zero, so that each learns something of its own.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from sled.model.config import Config
from sled.model.lm import SpeechLM, num_parameters
from sled.model.registry import load_speech_lm
from sled.training.checkpoints.folder import (
    check_complete,
    refuse_existing,
    write_checkpoint,
)

GROWABLE = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "diffloss_d",
)
"""Sizes that can grow. The width of the head cannot, because its norms have no weights that could
compensate for another width."""

# Outputs of these, and of the input layers, are added to the residual stream, or are outputs of the
# model. New parts of them start at zero.
_WRITERS = (
    "z_proj_ln.bias",
    "o_proj.weight",
    "down_proj.weight",
    "eos_head.weight",
)


_KINDS = ("weight", "bias")


def grow_checkpoint(source: Path, output: Path, sizes: dict[str, int], seed: int = 0) -> int:
    """Write a grown checkpoint.

    Args:
        source: Folder of a checkpoint with its tokenizer.
        output: A new folder; it appears when it is complete.
        sizes: Keys of `GROWABLE` with their new values.
        seed: Seed of the new weights.

    Returns:
        Number of parameters of the grown model.

    Raises:
        ValueError: As `grow`, or if the checkpoint is incomplete, or the output exists.
    """
    refuse_existing(output)
    check_complete(source)
    model = grow(load_speech_lm(source, torch.float32), sizes, seed)
    write_checkpoint(model, source, output)
    return num_parameters(model.config)


@torch.no_grad()
def grow(model: SpeechLM, sizes: dict[str, int], seed: int = 0) -> SpeechLM:
    """A larger model that computes the same as `model`, up to rounding.

    Layers are added at the end, so the attention head that is guided to the spoken token
    (`--alignment_layer`) keeps its place.

    Args:
        model: A model in float32.
        sizes: Keys of `GROWABLE` with their new values.
        seed: Seed of the new weights.

    Raises:
        ValueError: If there are no sizes, a key cannot grow, a size would shrink, or the number of
            heads does not fit.
    """
    config = _grown_config(model.config, sizes)
    width = model.config.architecture.hidden_size
    grown_width = config.architecture.hidden_size
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        grown = SpeechLM(config).eval()
        scale = math.sqrt(grown_width / width)
        _fill(grown, _centred(model, scale), 1 / scale)
    return grown.to(model.device)


def _centred(model: SpeechLM, scale: float) -> dict[str, Tensor]:
    """The weights, with the inputs of the first norm centred and scaled up, which it undoes.

    With new dimensions of 0, the mean, variance and relative epsilon of the norm are then as
    before.
    """
    old = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for layer, module in _input_layers(model).items():
        outputs = 1 if isinstance(module, nn.Embedding) else 0
        for name, _ in module.named_parameters(prefix=layer):
            old[name] = scale * (old[name] - old[name].mean(outputs, keepdim=True))
    return old


def _input_layers(model: SpeechLM) -> dict[str, nn.Module]:
    """The layers whose outputs go into the first norm, by name: of tokens, units and conditions."""
    conditions = {f"condition_proj.{name}": layer for name, layer in model.condition_proj.items()}
    return {"model.embed_tokens": model.model.embed_tokens, "z_proj": model.z_proj, **conditions}


def _fill(grown: SpeechLM, old: dict[str, Tensor], norm_scale: float) -> None:
    """Copy old weights into the corners of new ones.

    `norm_scale` corrects the weights of norms for new dimensions of 0.
    """
    writers = (*_WRITERS, *(f"{layer}.{kind}" for layer in _input_layers(grown) for kind in _KINDS))
    for name, new in grown.state_dict().items():
        if name not in old:  # a new layer or block; new blocks of the head output zero anyway
            if name.endswith(writers):
                new.zero_()
            continue
        was = old[name]
        if was.shape != new.shape:
            if "norm" in name or name == "z_proj_ln.weight":
                was = was * norm_scale
                new.fill_(was.mean())
            elif name.endswith(writers):
                new.zero_()
            else:
                new.normal_(std=float(was.std()))
        new[tuple(slice(size) for size in was.shape)] = was


def _grown_config(config: Config, sizes: dict[str, int]) -> Config:
    settings, old = config.to_dict(), config.architecture
    if not sizes:
        raise ValueError(f"no size is given: give one of {', '.join(GROWABLE)}")
    for key, size in sizes.items():
        if key not in GROWABLE:
            raise ValueError(f"{key} cannot grow: choose among {', '.join(GROWABLE)}")
        if size < settings[key]:
            raise ValueError(f"{key} is {settings[key]} and cannot shrink to {size}: give more")
    heads = sizes.get("num_attention_heads", old.num_attention_heads)
    # Heads that share a key and value head must continue to share it.
    sharing = old.num_attention_heads // old.num_key_value_heads
    if heads % sharing:
        raise ValueError(
            f"{heads} attention heads cannot share key and value heads in groups of {sharing}, as "
            "in the model: choose a multiple"
        )
    settings |= sizes | {"num_key_value_heads": heads // sharing}
    return Config.from_dict(settings)
