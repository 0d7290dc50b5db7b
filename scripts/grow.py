#!/usr/bin/env python
"""Make a checkpoint larger without changing what it says, to train on from there."""

import argparse
from pathlib import Path

from sled.cli import run_main
from sled.training.growth import grow_checkpoint


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
    parser.add_argument("--num_hidden_layers", type=int, help="decoder layers, likewise")
    parser.add_argument("--diffloss_d", type=int, help="residual blocks of the head, likewise")
    sizes = vars(parser.parse_args(argv))
    model, output = sizes.pop("model"), sizes.pop("output")
    count = grow_checkpoint(model, output, {k: v for k, v in sizes.items() if v is not None})
    print(f"{output}: {count / 1e6:.1f} M parameters")


if __name__ == "__main__":
    run_main(main)
