#!/usr/bin/env python
"""Make a codec in whose latents sounds count for more, so that a model learns to read sooner.

Codes stay what they are: a corpus that is encoded with the codec already need not be again. It must
have been aligned (scripts/align.py) before.
"""

import argparse
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from sled.cli.speaking import run_main
from sled.codec import emphasize_sounds, load_codec
from sled.data.alignment.sounds import SoundsOfFrames
from sled.data.cache.codes import check_codec, load_cached


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and write the codec."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--codec", required=True, help="codec: folder, hub name or .th file; grouped, if it will be"
    )
    parser.add_argument(
        "--codes", type=Path, required=True, help="folder of cached codes, of an aligned corpus"
    )
    parser.add_argument("--max_cuts", type=int, default=5_000, help="of the corpus to go by")
    parser.add_argument(
        "--strength",
        type=float,
        default=2.0,
        help="a direction that sounds alone decide becomes 1 + STRENGTH times as wide; 0: none",
    )
    parser.add_argument("--output_dir", required=True, help="folder for the new codec")
    args = parser.parse_args(argv)
    codec = load_codec(args.codec)
    check_codec(args.codes, codec)
    cuts = islice(load_cached(args.codes, shuffle_seed=0), args.max_cuts)
    clips = map(SoundsOfFrames(codec), tqdm(cuts, "codes", unit="cut", disable=None))
    before, after = emphasize_sounds(args.codec, clips, args.strength, args.output_dir)
    print(
        f"{args.output_dir}: {after:.0%} of the latents' variance lies between sounds, "
        f"{before:.0%} did before; train with it as always"
    )


if __name__ == "__main__":
    run_main(main)
