#!/usr/bin/env python
"""Train a model of CosyVoice or CosyVoice2 with the published flags and configuration.

Start it with torchrun, as the published train.py. The same command continues an interrupted run.
The whole recipes are in runs/cosyvoice and runs/cosyvoice2.
"""

from sled.cli.main import guard


def main() -> None:
    """Train as the flags say."""
    from sled.training.tokens.cosyvoice_flags import train_published

    train_published(None, __doc__)


if __name__ == "__main__":
    raise SystemExit(guard(main))
