#!/usr/bin/env python
"""`sled cache tokens`, under its published name."""

import sys

from sled.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main(["cache", "tokens", *sys.argv[1:]]))
