#!/usr/bin/env python
"""Make a codec whose latents are whitened, so that a model learns all that carries speech alike.

Codes stay what they are: a corpus that is encoded with the codec already need not be again.
"""

import argparse
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from sled.cli.speaking import run_main
from sled.codec import load_codec, whiten_latents
from sled.data.cache.codes import check_codec, cut_codes, load_cached


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and write the codec."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--codec", required=True, help="codec: folder, hub name or .th file")
    parser.add_argument(
        "--codes", type=Path, required=True, help="folder of cached codes, made with this codec"
    )
    parser.add_argument("--max_cuts", type=int, default=10_000, help="of the corpus to go by")
    parser.add_argument(
        "--floor",
        type=float,
        default=0.6,
        help="standard deviation, in units of the latents' root mean square, under which a "
        "direction is taken for the codec's rounding and left narrow",
    )
    parser.add_argument("--output_dir", required=True, help="folder for the new codec")
    args = parser.parse_args(argv)
    check_codec(args.codes, load_codec(args.codec))
    cuts = islice(load_cached(args.codes, shuffle_seed=0), args.max_cuts)
    codes = (cut_codes(cut) for cut in tqdm(cuts, "codes", unit="cut", disable=None))
    whiten_latents(args.codec, codes, args.floor, args.output_dir)
    print(f"{args.output_dir}: the same codes, latents whitened; train with it as always")


if __name__ == "__main__":
    run_main(main)
