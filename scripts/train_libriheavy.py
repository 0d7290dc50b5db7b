#!/usr/bin/env python
"""Train an offline model on Libriheavy: the published run, unless flags say otherwise.

Start it with torchrun --nproc_per_node 8; only the paths of the data must be given. The same
command continues a run that was stopped. The whole recipe is in runs/libriheavy.
"""

from sled.cli.speaking import run_main
from sled.training.published import LIBRIHEAVY
from sled.training.run import train


def main(argv: list[str] | None = None) -> None:
    """Train as the flags say (see --help)."""
    train(argv, LIBRIHEAVY, __doc__)


if __name__ == "__main__":
    run_main(main)
