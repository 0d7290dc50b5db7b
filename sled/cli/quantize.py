"""Round the layers of a model to four bits, for `--dtype int4` on a CPU.

The model speaks texts, and each matrix is rounded so that its output for the inputs it had changes
little (GPTQ). The file int4.safetensors is written into the folder of the checkpoint, which stays
as it is. `--dtype auto` does not take int4: evaluate first how many more words are wrong with it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sled.cli.flags import add_model_flag

EXAMPLE = "sled quantize --model model --texts texts.txt"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled quantize`."""
    add_model_flag(parser, "checkpoint folder", required=True)
    parser.add_argument(
        "--texts",
        type=Path,
        required=True,
        help="file with a text in each line, like those that the model will say; 50 are enough",
    )
    parser.add_argument("--limit", type=int, default=50, help="texts to speak, from the start")
    parser.add_argument(
        "--group", type=int, default=128, help="inputs that share a scale, a multiple of 8"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the first text")


def run(args: argparse.Namespace) -> None:
    """Quantize, and tell the error of the matrices.

    Raises:
        ValueError: If the limit is below 1, or as the function it calls.
    """
    if args.limit < 1:
        raise ValueError(f"--limit {args.limit} must be at least 1")
    from itertools import islice

    from sled.data.manifests import read_texts
    from sled.training.quantization import quantize

    texts = list(islice(filter(str.strip, read_texts(args.texts)), args.limit))
    path, error = quantize(args.model, texts, args.group, args.seed)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, outputs of a matrix change by {error:.1%}")
