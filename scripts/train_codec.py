"""Train an Encodec-form codec on the speech of a Lhotse CutSet.

The result lies in --output_dir, where `load_codec` and transformers' `EncodecModel` read it. Run the
same command again to continue an interrupted run.
"""

import logging
from argparse import ArgumentDefaultsHelpFormatter
from collections.abc import Sequence

from transformers import HfArgumentParser

from sled.cli import run_main
from sled.training.codec import CodecTrainer, CodecTrainingConfig


def main(argv: Sequence[str] | None = None) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = HfArgumentParser(
        CodecTrainingConfig, description=__doc__, formatter_class=ArgumentDefaultsHelpFormatter
    )
    (config,) = parser.parse_args_into_dataclasses(argv)
    trainer = CodecTrainer(config)
    report = trainer.train()
    print(f"{trainer.step} steps in {trainer.trained_s / 60:.1f} min: {report}")
    print(f"codec saved in {config.output_dir}")


if __name__ == "__main__":
    run_main(main)
