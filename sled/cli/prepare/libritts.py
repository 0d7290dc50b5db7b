"""Turn folders of LibriTTS or LibriTTS-R into checked manifests."""

from __future__ import annotations

import argparse
from pathlib import Path

from sled.cli.prepare.corpus import add_corpus_flags, prepare_from_args
from sled.data.corpora.libritts import TEXT_VARIANTS, read_libritts

EXAMPLE = "sled prepare libritts --input LibriTTS/train-clean-100 -o data"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled prepare libritts`."""
    corpus = parser.add_argument_group("LibriTTS")
    corpus.add_argument(
        "--input", type=Path, nargs="+", required=True, help="such as LibriTTS/train-clean-100"
    )
    corpus.add_argument(
        "--text",
        choices=TEXT_VARIANTS,
        default=TEXT_VARIANTS[1],
        help="text of the book, or the same with numbers and abbreviations in words",
    )
    add_corpus_flags(parser)


def run(args: argparse.Namespace) -> None:
    """Prepare the corpus."""
    prepare_from_args(args, read_libritts(args.input, args.text))
