"""Turn recordings with transcripts into checked manifests, in the form that they are found in.

That is a folder with metadata.csv or with a text file beside each recording, a Kaldi folder, or a
file of JSON lines, also if it is the only one in the folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sled.cli.prepare.corpus import add_corpus_flags, prepare_from_args
from sled.data.corpora.detect import read_recordings

EXAMPLE = "sled prepare recordings --input recordings --valid_count 50 -o data"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled prepare recordings`."""
    corpus = parser.add_argument_group("recordings")
    corpus.add_argument("--input", type=Path, required=True, help="the folder or file")
    add_corpus_flags(parser)


def run(args: argparse.Namespace) -> None:
    """Prepare the corpus."""
    prepare_from_args(args, read_recordings(args.input))
