"""Fit transforms of a codec's latents that make them easier to model, and write the new codec.

Codes do not change, so cached codes stay valid. Transforms are applied in the given order, each
fitted to what the ones before it give:

  whiten         every direction that carries speech gets the same variance
  group:N        N frames become one, so that the model takes fewer steps
  emphasize:S    directions that tell sounds apart become up to 1 + S times as wide
                 (needs codes of an aligned corpus, see `sled align`)
  token-channel:W  W dimensions show which token is being said (needs a tokenizer)
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sled.cli.flags import add_codec_flag, add_output_flag

EXAMPLE = (
    "sled codec fit --codec codec --codes codes/train --tokenizer tokenizer "
    "--transforms whiten,group:4,emphasize:8,token-channel:32 -o latents"
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled codec fit`."""
    add_codec_flag(parser, required=True)
    parser.add_argument(
        "--transforms",
        required=True,
        metavar="LIST",
        help="NAME[:VALUE][:KEY=VALUE]..., separated by commas; keys and their defaults: whiten: "
        "floor 0.6, cuts 10000; group: frames 2; emphasize: strength 2, cuts 5000; token-channel: "
        "width 32, norm 12, seed 0",
    )
    parser.add_argument(
        "--codes",
        type=Path,
        nargs="+",
        default=[],
        help="folders of cached codes, for whiten and emphasize",
    )
    parser.add_argument("--tokenizer", type=Path, help="tokenizer folder, for token-channel")
    add_output_flag(parser, "folder for the new codec")


def run(args: argparse.Namespace) -> None:
    """Fit the transforms, and print what each of them did."""
    from sled.training.codec.fit import fit_transforms

    report = fit_transforms(
        args.codec, args.transforms, args.output, codes=args.codes, tokenizer=args.tokenizer
    )
    print(report)
