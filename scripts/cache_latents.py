#!/usr/bin/env python
"""Encode a corpus once: codec codes of every cut, as Lhotse Shar shards to train on.

Run it again to continue an interrupted run. Several processes share the work, on any number of
machines that see the same folder: each with its own --shard, or all under torchrun.
"""

import argparse
import os
import re
from pathlib import Path

from sled.cli.speaking import choose_device, run_main
from sled.codec import load_codec
from sled.data.cache.codes import SHARD_SIZE, cache_codes, verify_codes
from sled.data.cache.shards import missing_shards
from sled.data.manifests import load_cuts


def main(argv: list[str] | None = None) -> None:
    """Parse the flags, encode or verify, and say how much and how fast."""
    args = make_parser().parse_args(argv)
    if args.manifest is None and not args.verify:
        raise ValueError("--manifest is missing: name the cuts to encode, or pass --verify")
    folder = Path(args.output_dir)
    part = choose_part(args.shard)
    device = choose_device(args.device)
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"  # torchrun: a device for each process
    codec = load_codec(args.codec, device=device)
    if args.verify:
        report = verify_codes(folder, codec, part)
        print(f"verified: {report}, {report.num_rejected} rejected")
        return
    report = cache_codes(
        load_cuts(args.manifest),
        codec,
        folder,
        args.shard_size,
        part=part,
        num_workers=args.num_workers,
        on_bad=args.on_bad,
    )
    print(f"encoded: {report}")
    if report.num_rejected:
        print(f"{report.num_rejected} cuts rejected: see {folder}/rejected.*.jsonl")
    if missing := missing_shards(folder):
        print(f"{len(missing)} shards are left to other processes in {folder}")
    else:
        print(f"codes in {folder}")


def make_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--manifest", help="cut manifest to encode")
    parser.add_argument("--codec", required=True, help="codec: folder, hub name or .th file")
    parser.add_argument("--output_dir", required=True, help="where the shards go")
    parser.add_argument("--shard_size", type=int, default=SHARD_SIZE, help="cuts per shard")
    parser.add_argument(
        "--shard",
        metavar="i/n",
        help="make only every n-th shard, from the i-th, counted from 0; unset: torchrun's rank "
        "and world size, or all shards",
    )
    parser.add_argument(
        "--num_workers",
        type=int,
        default=min(4, os.cpu_count() or 1),
        help="processes that read audio ahead of the codec",
    )
    parser.add_argument(
        "--on_bad",
        choices=("stop", "skip"),
        default="stop",
        help="what to do about a cut whose audio cannot be read; those skipped are listed in "
        "rejected.*.jsonl",
    )
    parser.add_argument("--verify", action="store_true", help="check all shards; encode nothing")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps, or auto")
    return parser


def choose_part(shard: str | None) -> tuple[int, int]:
    """The part (i, n) of the work that falls to this process.

    Raises:
        ValueError: For a flag that is not i/n, or one that torchrun's processes would all follow.
    """
    world_size = int(os.environ.get("WORLD_SIZE", 1))
    if shard is None:
        return int(os.environ.get("RANK", 0)), world_size
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    if match is None or int(match[1]) >= int(match[2]):
        raise ValueError(f"--shard {shard} is not i/n with i from 0 to n - 1: try 0/8")
    if world_size > 1:
        raise ValueError(f"--shard {shard} under torchrun: leave it out, ranks share the shards")
    return int(match[1]), int(match[2])


if __name__ == "__main__":
    run_main(main)
