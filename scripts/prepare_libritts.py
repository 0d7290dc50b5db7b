#!/usr/bin/env python
"""Turn folders of LibriTTS or LibriTTS-R into checked cut manifests."""

from pathlib import Path

from sled.cli.prepare import corpus_parser, prepare_from_args
from sled.cli.speaking import run_main
from sled.data.corpora.libritts import TEXT_VARIANTS, read_libritts


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and prepare the corpus."""
    parser = corpus_parser(__doc__)
    corpus = parser.add_argument_group("LibriTTS")
    corpus.add_argument(
        "--input", type=Path, nargs="+", required=True, help="such as LibriTTS/train-clean-100"
    )
    corpus.add_argument(
        "--text",
        choices=TEXT_VARIANTS,
        default="normalized",
        help="text of the book, or the same with numbers and abbreviations written out",
    )
    args = parser.parse_args(argv)
    prepare_from_args(args, read_libritts(args.input, args.text))


if __name__ == "__main__":
    run_main(main)
