#!/usr/bin/env python
"""`sled clone`, under its published name."""

import sys

from sled.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main(["clone", *sys.argv[1:]]))
