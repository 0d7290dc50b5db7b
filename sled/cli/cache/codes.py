"""Encode a corpus once: the codec codes of every cut, as Lhotse Shar shards to train on.

The same command continues an interrupted run. Several processes can share the work, on any number
of machines that see the same folder: each with its own --shard, or all started by torchrun
(torchrun -m sled cache codes ...).
"""

from __future__ import annotations

import argparse
import os
import re

from sled.cli.flags import add_codec_flag, add_device_flag, add_output_flag, add_workers_flag

EXAMPLE = (
    "sled cache codes --manifest cuts_train.jsonl.gz --codec facebook/encodec_24khz -o codes/train"
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled cache codes`."""
    parser.add_argument("--manifest", help="cut manifest to encode")
    add_codec_flag(parser, required=True)
    add_output_flag(parser, "folder for the shards")
    parser.add_argument("--shard_size", type=int, default=1000, help="cuts per shard")
    parser.add_argument(
        "--shard",
        metavar="i/n",
        help="make only every n-th shard, from the i-th, counted from 0; unset: by torchrun's rank "
        "and world size, or all shards",
    )
    add_workers_flag(parser, "read audio ahead of the codec")
    parser.add_argument(
        "--on_bad",
        choices=("stop", "skip"),
        default="stop",
        help="stop at a cut whose audio cannot be read, or skip it and list it in rejected.*.jsonl",
    )
    parser.add_argument("--verify", action="store_true", help="check all shards; encode nothing")
    add_device_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Encode or verify, and print how much and how fast.

    Raises:
        ValueError: For a missing manifest or a bad --shard, and as `cache_codes`.
    """
    if args.manifest is None and not args.verify:
        raise ValueError("--manifest is missing: name the cuts to encode, or pass --verify")
    part = choose_part(args.shard)
    from sled.cli.device import choose_device
    from sled.codec import load_codec
    from sled.data.cache.codes import cache_codes, verify_codes
    from sled.data.cache.shards import missing_shards
    from sled.data.manifests import load_cuts

    device = choose_device(args.device)
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"  # torchrun: a device for each process
    codec = load_codec(args.codec, device=device)
    if args.verify:
        report = verify_codes(args.output, codec, part)
        print(f"verified: {report}, {report.num_rejected} rejected")
        return
    report = cache_codes(
        load_cuts(args.manifest),
        codec,
        args.output,
        args.shard_size,
        codec_name=args.codec,
        part=part,
        num_workers=args.num_workers,
        on_bad=args.on_bad,
    )
    print(f"encoded: {report}")
    if report.num_rejected:
        print(f"{report.num_rejected} cuts rejected: see {args.output}/rejected.*.jsonl")
    if missing := missing_shards(args.output):
        print(f"{len(missing)} shards are left to other processes in {args.output}")
    else:
        print(f"codes in {args.output}")


def choose_part(shard: str | None) -> tuple[int, int]:
    """The part (i, n) of the work that this process does.

    Raises:
        ValueError: For a flag that is not i/n, or one that all of torchrun's processes would get.
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
