#!/usr/bin/env python
"""Turn JSON lines such as {"wav": "a.wav", "txt": "What it says."} into checked cut manifests.

The keys "audio" and "text" serve as well; "id", "speaker", "start" and "duration" are optional.
"""

from pathlib import Path

from sled.cli.prepare import corpus_parser, prepare_from_args
from sled.cli.speaking import run_main
from sled.data.corpora.jsonl import read_jsonl


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and prepare the corpus."""
    parser = corpus_parser(__doc__)
    corpus = parser.add_argument_group("JSON lines")
    corpus.add_argument(
        "--input", type=Path, nargs="+", required=True, help=".jsonl or .jsonl.gz files"
    )
    corpus.add_argument(
        "--audio_dir",
        type=Path,
        help="folder that relative audio paths start from; unset: that of each file",
    )
    args = parser.parse_args(argv)
    prepare_from_args(args, read_jsonl(args.input, args.audio_dir))


if __name__ == "__main__":
    run_main(main)
