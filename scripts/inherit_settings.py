#!/usr/bin/env python
"""Write the settings that training on from a checkpoint takes over, for a shell to source."""

import argparse
from pathlib import Path

from sled.cli.speaking import run_main
from sled.training.inheritance import Inheritance


def main(argv: list[str] | None = None) -> None:
    """Parse the flags, look, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", required=True, help="checkpoint: folder or hub name")
    parser.add_argument("--codec", required=True, help="its codec: folder, hub name or .th file")
    parser.add_argument("--output", type=Path, required=True, help="shell file to write")
    args = parser.parse_args(argv)
    settings = Inheritance.of(args.model, args.codec).to_shell()
    args.output.write_text(settings, encoding="utf-8")
    print(settings, end="")


if __name__ == "__main__":
    run_main(main)
