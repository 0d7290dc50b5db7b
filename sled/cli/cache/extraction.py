"""What the commands that extract tables from recordings share: flags, and the closing report."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sled.cli.flags import Flags, add_device_flag

if TYPE_CHECKING:
    from sled.data.tokens.extraction import Compute, Executor, ExtractionReport


def add_extraction_flags(parser: argparse.ArgumentParser, output: str) -> Flags:
    """Add the flags of recordings and of how they are worked on.

    Args:
        parser: The parser.
        output: What is written.

    Returns:
        The group of the input.
    """
    recordings = parser.add_argument_group("recordings")
    recordings.add_argument(
        "--input", "--dir", type=Path, metavar="DIR", help="Kaldi folder with wav.scp and utt2spk"
    )
    recordings.add_argument(
        "--wav_scp", type=Path, help="wav.scp itself, instead of a folder with it"
    )
    work = parser.add_argument_group("work")
    work.add_argument(
        "--output", "-o", "--output_dir", type=Path, help=f"{output}; unset: that of wav.scp"
    )
    work.add_argument(
        "--num_threads", "--num_thread", type=int, default=1, help="recordings at the same time"
    )
    work.add_argument(
        "--on_bad",
        choices=("skip", "stop"),
        default="skip",
        help="leave out recordings that cannot be used and list them in the report, or stop",
    )
    work.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="work as a job of Ray Data, --num_threads recordings at the same time, on the cluster "
        "at this address, such as auto, or local for this machine alone",
    )
    add_device_flag(work)
    return recordings


def choose_executor(args: argparse.Namespace, load: Callable[[], Compute]) -> Executor:
    """What computes rows, as the flags say.

    Args:
        args: Parsed flags.
        load: Loads what computes a row.

    Raises:
        ValueError: If the model cannot be used, or Ray is not installed.
    """
    from sled.data.tokens.extraction import on_threads

    if args.ray is None:
        return on_threads(load(), args.num_threads)
    from sled.data.tokens.ray_job import on_ray

    return on_ray(load, args.num_threads, None if args.ray == "local" else args.ray)


def input_folder(args: argparse.Namespace) -> Path:
    """The folder with wav.scp that the flags name.

    Raises:
        ValueError: If they name none, or a file with another name.
    """
    if args.wav_scp is not None:
        if args.wav_scp.name != "wav.scp":
            raise ValueError(f"--wav_scp {args.wav_scp} is called otherwise: name it wav.scp")
        folder: Path = args.wav_scp.parent
        return folder
    if args.input is None:
        raise ValueError("no recordings: give --input with a folder, or --wav_scp")
    folder = args.input
    return folder


def print_report(report: ExtractionReport, table: Path) -> None:
    """Print how many rows a table has, and where rejected recordings are listed."""
    kept = len(report.rows) - report.computed
    earlier = f", {kept} of them earlier" if kept else ""
    print(f"{len(report.rows)} recordings{earlier}, {table}")
    if report.rejected:
        print(f"rejected: {len(report.rejected)}, see {table.with_suffix('.json')}")
