"""Turn JSON lines such as {"wav": "a.wav", "txt": "What it says."} into checked manifests.

The keys "audio" and "text" can be used instead; "id", "speaker", "start" and "duration" are
optional.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sled.cli.prepare.corpus import add_corpus_flags, prepare_from_args
from sled.data.corpora.jsonl import read_jsonl

EXAMPLE = "sled prepare jsonl --input corpus.jsonl --valid_count 200 -o data"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled prepare jsonl`."""
    corpus = parser.add_argument_group("JSON lines")
    corpus.add_argument(
        "--input", type=Path, nargs="+", required=True, help=".jsonl or .jsonl.gz files"
    )
    corpus.add_argument(
        "--audio_dir",
        type=Path,
        help="folder that relative audio paths start from; unset: that of each file",
    )
    add_corpus_flags(parser)


def run(args: argparse.Namespace) -> None:
    """Prepare the corpus."""
    prepare_from_args(args, read_jsonl(args.input, args.audio_dir))
