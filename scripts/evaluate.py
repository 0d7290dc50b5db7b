#!/usr/bin/env python
"""`sled evaluate`, under its published name."""

import sys

from sled.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main(["evaluate", *sys.argv[1:]]))
