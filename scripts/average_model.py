#!/usr/bin/env python
"""Average the best checkpoints of a run in the published form.

`sled average` does the same for runs of ours.
"""

from sled.cli.main import guard


def main() -> None:
    """Average as the flags say."""
    from sled.training.tokens.average import main as average

    average(None, __doc__)


if __name__ == "__main__":
    raise SystemExit(guard(main))
