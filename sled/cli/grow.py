"""Enlarge a checkpoint without changing what it computes, to continue training from there."""

from __future__ import annotations

import argparse
from pathlib import Path

from sled.cli.flags import add_output_flag, given

EXAMPLE = "sled grow --model model --hidden_size 384 --num_attention_heads 6 -o larger"

SIZES = {
    "hidden_size": "width of the backbone; unset: unchanged",
    "intermediate_size": "width of its MLP; unset: unchanged",
    "num_hidden_layers": "decoder layers; unset: unchanged; new ones come last",
    "num_attention_heads": "attention heads, of the same width; unset: unchanged",
    "diffloss_d": "residual blocks of the head; unset: unchanged",
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled grow`."""
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    add_output_flag(parser, "new folder to write")
    for name, help_text in SIZES.items():
        parser.add_argument(f"--{name}", type=int, help=help_text)
    parser.add_argument("--seed", type=int, default=0, help="seed of the new weights")


def run(args: argparse.Namespace) -> None:
    """Enlarge the model, and print its new size."""
    from sled.training.checkpoints.growth import grow_checkpoint

    sizes = {name: int(getattr(args, name)) for name in given(args, *SIZES)}
    count = grow_checkpoint(args.model, args.output, sizes, args.seed)
    print(f"{args.output}: {count / 1e6:.1f} M parameters")
