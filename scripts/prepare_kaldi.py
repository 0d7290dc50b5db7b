#!/usr/bin/env python
"""Turn a Kaldi data folder (wav.scp, text, perhaps segments and utt2spk) into checked manifests."""

from pathlib import Path

from sled.cli.prepare import corpus_parser, prepare_from_args
from sled.cli.speaking import run_main
from sled.data.corpora.kaldi import read_kaldi


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and prepare the corpus."""
    parser = corpus_parser(__doc__)
    corpus = parser.add_argument_group("Kaldi")
    corpus.add_argument("--input", type=Path, required=True, help="the folder")
    corpus.add_argument(
        "--audio_dir",
        type=Path,
        help="folder that relative paths in wav.scp start from; unset: the data folder",
    )
    args = parser.parse_args(argv)
    prepare_from_args(args, read_kaldi(args.input, args.audio_dir))


if __name__ == "__main__":
    run_main(main)
