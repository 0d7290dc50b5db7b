"""Speed of training, relative to the peak of the hardware, and time of each phase."""

from __future__ import annotations

import argparse

from sled.benchmarks.flags import SIZES, add_json_flag
from sled.cli.flags import add_device_flag

EXAMPLE = "sled bench train --size published"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled bench train`."""
    add_json_flag(parser)
    parser.add_argument("--size", choices=SIZES, default="published", help="size of the model")
    parser.add_argument(
        "--family",
        choices=("cosyvoice2",),
        help="measure a language model of speech tokens instead",
    )
    add_device_flag(parser)
    parser.add_argument(
        "--bf16",
        action=argparse.BooleanOptionalAction,
        help="use autocast to bfloat16; unset: on a GPU",
    )
    parser.add_argument(
        "--frames", type=int, help="padded frames of a batch; unset: 9000 on a GPU, else 512"
    )
    parser.add_argument(
        "--gradient_accumulation_steps", type=int, default=1, help="batches per step"
    )
    parser.add_argument("--steps", type=int, help="timed steps; unset: 30 on a GPU, else 5")
    parser.add_argument("--warmup_steps", type=int, default=2, help="steps before the timed ones")
    parser.add_argument("--num_workers", type=int, default=2, help="workers of the data loader")
    parser.add_argument(
        "--compile_layers",
        action="store_true",
        help="compile the decoder layers with torch.compile; this needs more --warmup_steps",
    )


def run(args: argparse.Namespace) -> None:
    """Measure, and print the report."""
    from sled.benchmarks.report import print_report

    if args.family is not None:
        from sled.benchmarks.token_train import measure_tokens as measure
    else:
        from sled.benchmarks.train import measure
    print_report(measure(args), args.json)
