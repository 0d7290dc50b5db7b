#!/usr/bin/env python
"""Train a byte-level BPE tokenizer, in the published vocab.json and merges.txt form."""

import argparse
from itertools import chain
from pathlib import Path

from sled.cli.speaking import run_main
from sled.data.manifests import read_texts
from sled.text.tokenizer import MIN_VOCAB_SIZE, TextTokenizer


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--input",
        type=Path,
        nargs="+",
        required=True,
        help="text files, one sentence a line, or cut manifests (.jsonl, .jsonl.gz)",
    )
    parser.add_argument("--output_dir", type=Path, required=True, help="folder for the two files")
    parser.add_argument(
        "--vocab_size",
        type=int,
        default=16384,
        help=f"most entries, at least {MIN_VOCAB_SIZE}; fewer if the text has no more to merge",
    )
    parser.add_argument(
        "--min_frequency", type=int, default=2, help="how often a pair occurs to be merged"
    )
    parser.add_argument(
        "--text_normalization",
        help="what is done to texts first: english or english-phonemes; unset: nothing",
    )
    args = parser.parse_args(argv)

    lines = chain.from_iterable(read_texts(path) for path in args.input)
    tokenizer = TextTokenizer.train(
        lines, args.vocab_size, args.min_frequency, args.text_normalization
    )
    tokenizer.save_pretrained(args.output_dir)
    print(f"{tokenizer.vocab_size} entries, written to {args.output_dir}")


if __name__ == "__main__":
    run_main(main)
