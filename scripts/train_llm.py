#!/usr/bin/env python
"""Train the language model of SimpleTTS with the published flags.

Start it with torchrun. The same command continues an interrupted run. The whole recipe is in
runs/simpletts.
"""

from sled.cli.main import guard


def main() -> None:
    """Train as the flags say."""
    from sled.cli.prepare.simpletts import pack_json_lines
    from sled.training.simpletts.lm import train_lm

    train_lm(pack_json_lines, None, __doc__)


if __name__ == "__main__":
    raise SystemExit(guard(main))
