#!/usr/bin/env python
"""`sled speak`, under its published name."""

import sys

from sled.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main(["speak", *sys.argv[1:]]))
