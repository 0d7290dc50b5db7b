"""Pack a Kaldi folder and the tables in it as Parquet, with data.list.

The tables are utt2embedding.pt, spk2embedding.pt, utt2speech_token.pt and utt2spoken_token.pt;
those that are there become columns. The same command continues an interrupted run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLE = "sled cache parquet --input data/train -o data/train/parquet --num_processes 4"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled cache parquet`."""
    parser.add_argument(
        "--input", "--src_dir", type=Path, metavar="DIR", required=True, help="the Kaldi folder"
    )
    parser.add_argument(
        "--output",
        "-o",
        "--des_dir",
        type=Path,
        metavar="DIR",
        required=True,
        help="folder for the files",
    )
    parser.add_argument(
        "--num_utts_per_parquet", type=int, default=1000, help="utterances of a file"
    )
    parser.add_argument("--num_processes", type=int, default=1, help="files at the same time")
    parser.add_argument(
        "--dpo",
        action="store_true",
        help="add the tokens of rejected readings, from the folder of this name with _reject",
    )
    parser.add_argument(
        "--on_bad",
        choices=("skip", "stop"),
        default="stop",
        help="leave out utterances without usable audio or without a row in a table, or stop",
    )


def run(args: argparse.Namespace) -> None:
    """Pack the corpus, and print how much there is.

    Raises:
        ValueError: For a corpus that cannot be used.
    """
    from sled.data.tokens.pack import write_parquet
    from sled.data.tokens.parquet import DATA_LIST

    report = write_parquet(
        args.input,
        args.output,
        num_utts=args.num_utts_per_parquet,
        num_processes=args.num_processes,
        preference=args.dpo,
        skip_bad=args.on_bad == "skip",
    )
    print(f"{report.utterances} utterances in {len(report.files)} files, {args.output / DATA_LIST}")
    if report.rejected:
        name, reason = next(iter(report.rejected.items()))
        print(f"left out: {len(report.rejected)}, the first is {name}: {reason}")
