#!/usr/bin/env python
"""Encode a corpus once: codec codes of every cut, as Lhotse Shar shards to train on."""

import argparse
from pathlib import Path

from sled.cli import choose_device, run_main
from sled.codec import load_codec
from sled.data.latents import SHARD_SIZE, cache_codes
from sled.data.manifests import load_cuts


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and encode."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--manifest", required=True, help="cut manifest to encode")
    parser.add_argument("--codec", required=True, help="codec: folder, hub name or .th file")
    parser.add_argument("--output_dir", required=True, help="where the shards go")
    parser.add_argument("--shard_size", type=int, default=SHARD_SIZE, help="cuts per shard")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps, or auto")
    args = parser.parse_args(argv)
    codec = load_codec(args.codec, device=choose_device(args.device))
    cache_codes(load_cuts(args.manifest), codec, Path(args.output_dir), args.shard_size)
    print(f"codes in {args.output_dir}")


if __name__ == "__main__":
    run_main(main)
