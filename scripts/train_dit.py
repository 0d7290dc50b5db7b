#!/usr/bin/env python
"""Train the flow (DiT) of SimpleTTS with the published flags.

Start it with torchrun. The same command continues an interrupted run. The whole recipe is in
runs/simpletts.
"""

from sled.cli.main import guard


def main() -> None:
    """Train as the flags say."""
    from sled.cli.prepare.simpletts import pack_recordings
    from sled.training.simpletts.flow import train_flow

    train_flow(pack_recordings, None, __doc__)


if __name__ == "__main__":
    raise SystemExit(guard(main))
