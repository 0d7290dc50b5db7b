#!/usr/bin/env python
"""Make the offline model of Libriheavy a streaming one: the published run, unless flags differ.

Start it with torchrun --nproc_per_node 8; only the paths of the data must be given. The same
command continues a run that was stopped. The whole recipe is in runs/libriheavy_stream.
"""

from sled.cli.speaking import run_main
from sled.training.published import LIBRIHEAVY_STREAM
from sled.training.run import train


def main(argv: list[str] | None = None) -> None:
    """Train as the flags say (see --help)."""
    train(argv, LIBRIHEAVY_STREAM, __doc__)


if __name__ == "__main__":
    run_main(main)
