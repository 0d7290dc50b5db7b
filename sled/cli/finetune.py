"""Fine-tune Step-Audio-EditX to a corpus in Parquet, as a configuration in YAML says.

The same command continues an interrupted run. runs/editx has a configuration and more about it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sled.cli.flags import add_output_flag

EXAMPLE = "sled finetune --config runs/editx/finetune.yaml --mode llm -o tuned"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled finetune`."""
    parser.add_argument("--config", type=Path, required=True, help="configuration in YAML")
    parser.add_argument(
        "--mode",
        choices=("llm", "flow", "both"),
        help="what is trained: the language model, the flow, or each and then both; unset: "
        "basic.train_mode of the configuration, or llm",
    )
    parser.add_argument(
        "--resume", action="store_true", help="accepted, without effect: runs always continue"
    )
    parser.add_argument("--use_cpu", action="store_true", help="train on the CPU")
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16 where it is safe")
    add_output_flag(parser, "folder of the result")


def run(args: argparse.Namespace) -> None:
    """Fine-tune.

    Raises:
        ValueError: As `finetune`.
    """
    from sled.training.editx.finetune import finetune

    how = {"use_cpu": args.use_cpu, "bf16": args.bf16}
    folder = finetune(args.config, args.output, args.mode, **how)
    best = " and ".join(path.name for path in sorted(folder.glob("*_best.pt")))
    print(f"{folder}: {best}, and in folders what each stage ended with")
