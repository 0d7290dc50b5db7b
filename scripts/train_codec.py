"""Train an Encodec-form codec on the speech of a Lhotse CutSet, or adapt one to it.

With --finetune_path the decoder of the codec named there learns to speak as the recordings do,
while its encoder, codebooks and latents stay as they are; with --predictions it also learns to
speak what a model predicts for them (sled cache predictions). --output_dir holds the result, which
`load_codec` and transformers' `EncodecModel` read. The same command continues an interrupted
run.
"""

from argparse import ArgumentDefaultsHelpFormatter
from collections.abc import Sequence
from dataclasses import replace

from transformers import HfArgumentParser

from sled.cli.speaking import choose_device, run_main
from sled.training.codec import CodecTrainer, CodecTrainingConfig


def main(argv: Sequence[str] | None = None) -> None:
    """Train as the flags say (see --help) and report."""
    parser = HfArgumentParser(
        CodecTrainingConfig, description=__doc__, formatter_class=ArgumentDefaultsHelpFormatter
    )
    (config,) = parser.parse_args_into_dataclasses(argv)
    trainer = CodecTrainer(replace(config, device=choose_device(config.device)))
    report = trainer.train()
    print(f"{trainer.learner.step} steps in {trainer.trained_s / 60:.1f} min: {report}")
    print(f"codec saved in {config.output_dir}")


if __name__ == "__main__":
    run_main(main)
