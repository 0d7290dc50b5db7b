"""Growing a model: a larger one that says what it says, to be trained on from there.

After Net2Net (Chen et al. 2016, arXiv 1511.05641), with what is added silent instead of copied:
new units read at random and write nothing yet, so that every one of them has a gradient.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from sled.config import SpeechLlamaConfig
from sled.model import SpeechLlamaForCausalLM
from sled.training.checkpoints import check_whole, load_float32, refuse_existing, write_checkpoint

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


def grow_checkpoint(source: Path, output: Path, sizes: dict[str, int]) -> int:
    """Write a checkpoint that has grown.

    Args:
        source: Folder of a checkpoint with its tokenizer.
        output: A new folder, which appears only when it is whole.
        sizes: Some keys of `GROWABLE`, with what they are to be.

    Returns:
        Its number of parameters.

    Raises:
        ValueError: As `grow`, or if the checkpoint is not whole, or the output exists.
    """
    refuse_existing(output)
    check_whole(source)
    model = grow(load_float32(source), sizes)
    write_checkpoint(model, source, output)
    return model.num_parameters()


@torch.no_grad()
def grow(model: SpeechLlamaForCausalLM, sizes: dict[str, int]) -> SpeechLlamaForCausalLM:
    """A larger model that computes what `model` does, but for rounding.

    Args:
        model: In float32.
        sizes: Some keys of `GROWABLE`, with what they are to be.

    Raises:
        ValueError: If a size is smaller than it is, or the number of heads does not fit.
    """
    config = _grown_config(model.config, sizes)
    width, grown_width = model.config.hidden_size, config.hidden_size
    grown = SpeechLlamaForCausalLM(config).to(model.device).eval()
    # New dimensions are 0 and make a norm's mean square smaller. Where a norm also takes away the
    # mean, that has to be 0 for its variance to follow, which the norm itself does not notice.
    old = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    old["model.embed_tokens.weight"] -= old["model.embed_tokens.weight"].mean(1, keepdim=True)
    old["z_proj.weight"] -= old["z_proj.weight"].mean(0, keepdim=True)
    old["z_proj.bias"] -= old["z_proj.bias"].mean()
    for name, new in grown.state_dict().items():
        if name not in old:  # a new layer or block; blocks of the head are silent as they are made
            if name.endswith(_WRITERS):
                new.zero_()
            continue
        was = old[name]
        if was.shape != new.shape:
            if "norm" in name or name == "z_proj_ln.weight":
                was = was * math.sqrt(width / grown_width)
                new.fill_(was.mean())
            elif name.endswith(_WRITERS):
                new.zero_()
            else:
                new.normal_(std=float(was.std()))
        _corner(new, was).copy_(was)
    return grown


def _corner(new: Tensor, was: Tensor) -> Tensor:
    return new[tuple(slice(size) for size in was.shape)]


def _grown_config(config: SpeechLlamaConfig, sizes: dict[str, int]) -> SpeechLlamaConfig:
    settings = config.to_dict()
    for key, size in sizes.items():
        if key not in GROWABLE:
            raise ValueError(f"{key} cannot grow: choose among {', '.join(GROWABLE)}")
        if size < settings[key]:
            raise ValueError(f"{key} is {settings[key]} and cannot become less, {size}: grow it")
    heads = sizes.get("num_attention_heads", config.num_attention_heads)
    # Heads that share a key and value head must go on sharing it.
    sharing = config.num_attention_heads // config.num_key_value_heads
    if heads % sharing:
        raise ValueError(
            f"{heads} attention heads cannot share key and value heads by {sharing}, as the "
            "model's do: choose a multiple"
        )
    settings |= sizes | {"num_key_value_heads": heads // sharing}
    return SpeechLlamaConfig.from_dict(settings)
