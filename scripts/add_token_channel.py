#!/usr/bin/env python
"""Make a codec whose latents tell which token is being said, so that a model learns to read sooner.

Codes stay what they are: a corpus that is encoded with the codec already need not be again. It must
have been aligned (scripts/align.py) before.
"""

import argparse

from sled.cli.speaking import run_main
from sled.codec import TokenChannel, add_token_channel
from sled.text.tokenizer import TextTokenizer


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and write the codec."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--codec", required=True, help="codec: folder, hub name or .th file")
    parser.add_argument("--tokenizer", required=True, help="whose tokens they are: folder")
    parser.add_argument("--width", type=int, default=32, help="dimensions of the channel")
    parser.add_argument(
        "--norm",
        type=float,
        default=12.0,
        help="of a token's vector; without it a latent of D dimensions has one of some sqrt(D), "
        "if it is whitened",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the vectors' directions")
    parser.add_argument("--output_dir", required=True, help="folder for the new codec")
    args = parser.parse_args(argv)
    tokenizer = TextTokenizer.from_pretrained(args.tokenizer)
    channel = TokenChannel.random(tokenizer.vocab_size, args.width, args.norm, args.seed)
    codec = add_token_channel(args.codec, channel, args.output_dir)
    print(
        f"{args.output_dir}: latents of {codec.latent_dim}, {args.width} of them for the token "
        "being said; train with it as always"
    )


if __name__ == "__main__":
    run_main(main)
