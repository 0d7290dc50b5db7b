#!/usr/bin/env python
"""`sled stream`, under its published name."""

import sys

from sled.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main(["stream", *sys.argv[1:]]))
