"""Train a byte-level BPE tokenizer, and write it as vocab.json and merges.txt, as published.

A tokenizer of speech is trained by sled tokenizer speech train.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sled.cli.flags import add_output_flag

EXAMPLE = "sled tokenizer --input cuts_train.jsonl.gz --vocab_size 16384 -o tokenizer"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled tokenizer`."""
    parser.add_argument(
        "--input",
        type=Path,
        nargs="+",
        required=True,
        help="text files, one sentence per line, or cut manifests (.jsonl, .jsonl.gz)",
    )
    add_output_flag(parser, "folder for the two files")
    parser.add_argument(
        "--vocab_size",
        type=int,
        default=16384,
        help="largest number of entries; the text may give fewer",
    )
    parser.add_argument(
        "--min_frequency", type=int, default=2, help="occurrences of a pair that is merged"
    )
    parser.add_argument(
        "--text_normalization",
        help="normalisation of texts: english or english-phonemes; unset: none",
    )


def run(args: argparse.Namespace) -> None:
    """Train the tokenizer."""
    from itertools import chain

    from sled.data.manifests import read_texts
    from sled.text.tokenizer import TextTokenizer

    lines = chain.from_iterable(read_texts(path) for path in args.input)
    tokenizer = TextTokenizer.train(
        lines, args.vocab_size, args.min_frequency, args.text_normalization
    )
    tokenizer.save_pretrained(args.output)
    print(f"{tokenizer.vocab_size} entries, written to {args.output}")
