"""Turn a Kaldi data folder into checked manifests.

The folder has wav.scp and text, and optionally segments and utt2spk.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sled.cli.prepare.corpus import add_corpus_flags, prepare_from_args
from sled.data.corpora.kaldi import read_kaldi

EXAMPLE = "sled prepare kaldi --input data/train -o manifests"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled prepare kaldi`."""
    corpus = parser.add_argument_group("Kaldi")
    corpus.add_argument("--input", type=Path, required=True, help="the data folder")
    corpus.add_argument(
        "--audio_dir",
        type=Path,
        help="folder that relative paths in wav.scp start from; unset: the data folder, or else "
        "the working directory",
    )
    add_corpus_flags(parser)


def run(args: argparse.Namespace) -> None:
    """Prepare the corpus."""
    prepare_from_args(args, read_kaldi(args.input, args.audio_dir))
