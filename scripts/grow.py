#!/usr/bin/env python
"""Make a checkpoint larger without changing what it says, to train on from there."""

import argparse
from pathlib import Path

from sled.cli.speaking import run_main
from sled.training.checkpoints.growth import GROWABLE, grow_checkpoint


def main(argv: list[str] | None = None) -> None:
    """Parse the flags, grow the model, and say how large it has become."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--output", type=Path, required=True, help="new folder to write")
    parser.add_argument("--hidden_size", type=int, help="width of the backbone; unset: as it is")
    parser.add_argument("--intermediate_size", type=int, help="width of its MLP, likewise")
    parser.add_argument(
        "--num_attention_heads", type=int, help="attention heads, of the same width, likewise"
    )
    parser.add_argument(
        "--num_hidden_layers",
        type=int,
        help="decoder layers, likewise; new ones come last: train on with the --alignment_layer "
        "there was, which is half of the old number unless it was set",
    )
    parser.add_argument("--diffloss_d", type=int, help="residual blocks of the head, likewise")
    parser.add_argument("--seed", type=int, default=0, help="decides what is added")
    args = parser.parse_args(argv)
    sizes = {key: size for key in GROWABLE if (size := getattr(args, key)) is not None}
    count = grow_checkpoint(args.model, args.output, sizes, args.seed)
    print(f"{args.output}: {count / 1e6:.1f} M parameters")


if __name__ == "__main__":
    run_main(main)
