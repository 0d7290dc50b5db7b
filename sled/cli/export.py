"""Write a model and its codec in half precision, for publication.

The settings that it should speak with are written into its configuration.
"""

from __future__ import annotations

import argparse

from sled.cli.flags import add_output_flag

EXAMPLE = "sled export --model model --codec codec -o shipped"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled export`."""
    parser.add_argument("--model", required=True, help="checkpoint folder to export")
    parser.add_argument("--codec", help="codec folder to put beside it")
    add_output_flag(parser, "folder to write")
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        default="float16",
        help="type of the weights",
    )
    parser.add_argument(
        "--max_shard_size",
        default="50GB",
        help="largest file of weights, such as 15MB; a larger model is split into several",
    )
    speaking = parser.add_argument_group("recommended settings; unset: as in the checkpoint")
    speaking.add_argument("--temperature", type=float, help="scale of the noise")
    speaking.add_argument("--cfg", type=float, help="guidance scale")
    speaking.add_argument("--draws", type=int, help="number of draws per frame")


def run(args: argparse.Namespace) -> None:
    """Export, and print the size of the result."""
    from sled.training.export import export

    export(
        args.model,
        args.output,
        args.codec,
        args.dtype,
        args.max_shard_size,
        args.temperature,
        args.cfg,
        args.draws,
    )
    size = sum(file.stat().st_size for file in args.output.rglob("*") if file.is_file())
    print(f"{args.output}: {size / 1e6:.1f} MB")
