#!/usr/bin/env python
"""Train an offline model on Libriheavy: the published run, unless flags say otherwise.

Start it with torchrun --nproc_per_node 8; only the paths of the data must be given. The same
command continues an interrupted run. The whole recipe is in runs/libriheavy.
"""

from sled.cli.main import guard
from sled.cli.train import main
from sled.training.published import LIBRIHEAVY

if __name__ == "__main__":
    raise SystemExit(guard(lambda: main(None, LIBRIHEAVY, __doc__)))
