#!/usr/bin/env python
"""Turn Libriheavy manifests, official or bare, into checked cut manifests."""

from pathlib import Path

from sled.cli.prepare import corpus_parser, prepare_from_args
from sled.cli.speaking import run_main
from sled.data.corpora.libriheavy import TEXT_VARIANTS, read_libriheavy


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and prepare the corpus."""
    parser = corpus_parser(__doc__)
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
        default="cased",
        help="text of the book, or what a recogniser heard, in capitals; "
        "lines with a single text have that as cased",
    )
    args = parser.parse_args(argv)
    prepare_from_args(args, read_libriheavy(args.input, args.audio_dir, args.text))


if __name__ == "__main__":
    run_main(main)
