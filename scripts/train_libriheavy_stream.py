#!/usr/bin/env python
"""Make the offline model of Libriheavy a streaming one: the published run by default.

Start it with torchrun --nproc_per_node 8; only the paths of the data must be given. The same
command continues an interrupted run. The whole recipe is in runs/libriheavy_stream.
"""

from sled.cli.main import guard
from sled.cli.train import main
from sled.training.published import LIBRIHEAVY_STREAM

if __name__ == "__main__":
    raise SystemExit(guard(lambda: main(None, LIBRIHEAVY_STREAM, __doc__)))
