#!/usr/bin/env python
"""Train a SLED model: from scratch, or from a checkpoint (--finetune_path) for another layout.

The same command continues a run that was stopped. The published runs have scripts of their own,
train_libriheavy.py and train_libriheavy_stream.py, which differ in nothing but their defaults.
"""

from sled.cli.speaking import run_main
from sled.training.run import train


def main(argv: list[str] | None = None) -> None:
    """Train as the flags say (see --help)."""
    train(argv, description=__doc__)


if __name__ == "__main__":
    run_main(main)
