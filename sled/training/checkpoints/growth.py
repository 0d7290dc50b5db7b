"""Growing a model: a larger one that says what it says, to be trained on from there.

After Net2Net (Chen et al. 2016, arXiv 1511.05641), but new units are silent, not copies: they read
at random and write nothing yet, so that every one of them comes to learn.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from sled.model.huggingface import SpeechLlamaConfig
from sled.model.lm import SpeechLlamaForCausalLM
from sled.training.checkpoints.finding import (
    check_whole,
    load_float32,
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
"""Keys of a configuration. The width of the head is not among them: its norms have no weights that
could make up for another width."""

# What these write is added to the residual stream, or decides on its own: new parts say nothing.
_WRITERS = (
    "embed_tokens.weight",
    "z_proj.weight",
    "z_proj.bias",
    "z_proj_ln.bias",
    "o_proj.weight",
    "down_proj.weight",
    "eos_head.weight",
)


def grow_checkpoint(source: Path, output: Path, sizes: dict[str, int], seed: int = 0) -> int:
    """Write a checkpoint that has grown.

    Args:
        source: Folder of a checkpoint with its tokenizer.
        output: A new folder, which appears only when it is whole.
        sizes: Some keys of `GROWABLE`, with what they are to be.
        seed: Decides what new units read.

    Returns:
        Its number of parameters.

    Raises:
        ValueError: As `grow`, or if the checkpoint is not whole, or the output exists.
    """
    refuse_existing(output)
    check_whole(source)
    model = grow(load_float32(source), sizes, seed)
    write_checkpoint(model, source, output)
    return model.num_parameters()


@torch.no_grad()
def grow(
    model: SpeechLlamaForCausalLM, sizes: dict[str, int], seed: int = 0
) -> SpeechLlamaForCausalLM:
    """A larger model that computes what `model` does, but for rounding.

    Layers are added at the end, so the attention head that is taught where in its text the model is
    (`--alignment_layer`) stays where it was.

    Args:
        model: In float32.
        sizes: Some keys of `GROWABLE`, with what they are to be.
        seed: Decides what new units read.

    Raises:
        ValueError: If there are no sizes, or others than these, one is smaller than it is, or the
            number of heads does not fit.
    """
    config = _grown_config(model.config, sizes)
    width = model.config.architecture.hidden_size
    grown_width = config.architecture.hidden_size
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        grown = SpeechLlamaForCausalLM(config).eval()
        scale = math.sqrt(grown_width / width)
        _fill(grown, _centred(model, scale), 1 / scale)
    return grown.to(model.device)


def _centred(model: SpeechLlamaForCausalLM, scale: float) -> dict[str, Tensor]:
    """The weights, with inputs of mean 0 and so much larger, which their own norm takes away again.

    Beside new dimensions of 0 their mean and variance, and the norm's epsilon, then are as before.
    """
    old = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    inputs = {"model.embed_tokens.weight": 1, "z_proj.weight": 0, "z_proj.bias": 0}
    for name, outputs in inputs.items():
        old[name] = scale * (old[name] - old[name].mean(outputs, keepdim=True))
    return old


def _fill(grown: SpeechLlamaForCausalLM, old: dict[str, Tensor], norm_scale: float) -> None:
    """Put old weights into the corners of new ones, whose norms see new dimensions of 0."""
    for name, new in grown.state_dict().items():
        if name not in old:  # a new layer or block; blocks of the head are silent as they are made
            if name.endswith(_WRITERS):
                new.zero_()
            continue
        was = old[name]
        if was.shape != new.shape:
            if "norm" in name or name == "z_proj_ln.weight":
                was = was * norm_scale
                new.fill_(was.mean())
            elif name.endswith(_WRITERS):
                new.zero_()
            else:
                new.normal_(std=float(was.std()))
        new[tuple(slice(size) for size in was.shape)] = was


def _grown_config(config: SpeechLlamaConfig, sizes: dict[str, int]) -> SpeechLlamaConfig:
    settings, old = config.to_dict(), config.architecture
    if not sizes:
        raise ValueError(f"nothing is to grow: give a size of {', '.join(GROWABLE)}")
    for key, size in sizes.items():
        if key not in GROWABLE:
            raise ValueError(f"{key} cannot grow: choose among {', '.join(GROWABLE)}")
        if size < settings[key]:
            raise ValueError(f"{key} is {settings[key]} and cannot become less, {size}: grow it")
    heads = sizes.get("num_attention_heads", old.num_attention_heads)
    # Heads that share a key and value head must go on sharing it.
    sharing = old.num_attention_heads // old.num_key_value_heads
    if heads % sharing:
        raise ValueError(
            f"{heads} attention heads cannot share key and value heads by {sharing}, as the "
            "model's do: choose a multiple"
        )
    settings |= sizes | {"num_key_value_heads": heads // sharing}
    return SpeechLlamaConfig.from_dict(settings)
