#!/usr/bin/env python
"""`sled prepare kaldi-folder`, under its published name."""

import sys

from sled.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main(["prepare", "kaldi-folder", *sys.argv[1:]]))
