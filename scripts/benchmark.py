#!/usr/bin/env python
"""`sled bench`, under its published name."""

import sys

from sled.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main(["bench", *sys.argv[1:]]))
