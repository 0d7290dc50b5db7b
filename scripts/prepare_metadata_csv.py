#!/usr/bin/env python
"""Turn recordings with a metadata.csv (name|text), such as LJ Speech, into checked manifests."""

from pathlib import Path

from sled.cli.prepare import corpus_parser, prepare_from_args
from sled.cli.speaking import run_main
from sled.data.corpora.metadata_csv import read_metadata_csv


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and prepare the corpus."""
    parser = corpus_parser(__doc__)
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
    args = parser.parse_args(argv)
    items = read_metadata_csv(args.input, args.audio_dir, args.text_column, args.speaker_column)
    prepare_from_args(args, items)


if __name__ == "__main__":
    run_main(main)
