#!/usr/bin/env python
"""`sled check`, under its published name."""

import sys

from sled.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main(["check", *sys.argv[1:]]))
