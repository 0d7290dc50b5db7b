"""Turn recordings with a metadata.csv (name|text), such as LJ Speech, into checked manifests."""

from __future__ import annotations

import argparse
from pathlib import Path

from sled.cli.prepare.corpus import add_corpus_flags, prepare_from_args
from sled.data.corpora.metadata_csv import read_metadata_csv

EXAMPLE = "sled prepare metadata-csv --input LJSpeech-1.1 --valid_count 50 -o data"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled prepare metadata-csv`."""
    corpus = parser.add_argument_group("metadata")
    corpus.add_argument(
        "--input", type=Path, required=True, help="metadata.csv, or the folder that holds it"
    )
    corpus.add_argument(
        "--audio_dir", type=Path, help="folder of the recordings; unset: wavs beside metadata.csv"
    )
    corpus.add_argument(
        "--text_column",
        type=int,
        help="counted from 1; unset: the last, which is LJ Speech's normalised text",
    )
    corpus.add_argument("--speaker_column", type=int, help="unset: speakers are not named")
    add_corpus_flags(parser)


def run(args: argparse.Namespace) -> None:
    """Prepare the corpus."""
    items = read_metadata_csv(args.input, args.audio_dir, args.text_column, args.speaker_column)
    prepare_from_args(args, items)
