#!/usr/bin/env python
"""`sled cache parquet`, under its published name."""

import sys

from sled.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main(["cache", "parquet", *sys.argv[1:]]))
