"""Turn Libriheavy manifests, official or bare, into checked manifests.

Audio is not decoded by default, because there are up to 50,000 hours of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sled.cli.prepare.corpus import add_corpus_flags, prepare_from_args
from sled.data.corpora.libriheavy import TEXT_VARIANTS, read_libriheavy

EXAMPLE = "sled prepare libriheavy --input libriheavy_cuts_small.jsonl.gz --audio_dir /data -o data"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled prepare libriheavy`."""
    corpus = parser.add_argument_group("Libriheavy")
    corpus.add_argument(
        "--input", type=Path, nargs="+", required=True, help="libriheavy_cuts_*.jsonl.gz"
    )
    corpus.add_argument(
        "--audio_dir",
        type=Path,
        help="folder that audio paths start from, the one that holds download/librilight; "
        "unset: that of each manifest",
    )
    corpus.add_argument(
        "--text",
        choices=TEXT_VARIANTS,
        default=TEXT_VARIANTS[0],
        help="text of the book, or the transcript of a recogniser, in capitals; a line with a "
        "single text has it as cased",
    )
    add_corpus_flags(parser, decode_audio=False)


def run(args: argparse.Namespace) -> None:
    """Prepare the corpus."""
    prepare_from_args(args, read_libriheavy(args.input, args.audio_dir, args.text))
