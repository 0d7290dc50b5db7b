#!/usr/bin/env python
"""Train a SLED model: from scratch, or from a checkpoint (--finetune_path) for another layout."""

from sled.cli import run_main
from sled.training.run import train


def main(argv: list[str] | None = None) -> None:
    """Train as the flags say (see --help) and print where the model lies."""
    print(f"model saved in {train(argv)}")


if __name__ == "__main__":
    run_main(main)
