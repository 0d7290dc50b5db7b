"""Train a codec on the speech of a Lhotse CutSet, or adapt one to it.

With --finetune_path only the decoder of the codec named there is trained, so that it reproduces
the recordings; its encoder, codebooks and latents stay as they are. With --predictions as well, it
learns to decode what a model predicts for them (sled cache predictions).

The folder --output can be read by sled, and an Encodec also by transformers' EncodecModel. With
--family spectral the codec has continuous latents. The same command continues an interrupted run.

For example:
sled codec train --train_manifest train.jsonl.gz --eval_manifest valid.jsonl.gz --output codec
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sled.cli.device import choose_device
from sled.training.checkpoints.lock import only_run_in
from sled.training.codec import CodecTrainer, CodecTrainingConfig
from sled.training.run_arguments import make_flag_parser

FIRST_FLAGS = (
    *("train_manifest", "eval_manifest", "output_dir", "family", "finetune_path"),
    *("predictions", "frame_rate", "latent_dim"),
    *("max_steps", "max_minutes", "batch_size", "segment_s", "learning_rate", "loudness_db"),
    *("num_filters", "num_codebooks", "adversarial_at", "latent_noise", "bf16", "device", "seed"),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Train as the flags say, and report."""
    parser = make_flag_parser(CodecTrainingConfig, "sled codec train", __doc__, FIRST_FLAGS)
    (config,) = parser.parse_args_into_dataclasses(argv)
    with only_run_in(Path(config.output_dir)):
        trainer = CodecTrainer(replace(config, device=choose_device(config.device)))
        report = trainer.train()
    print(f"{trainer.learner.step} steps in {trainer.trained_s / 60:.1f} min: {report}")
    print(f"codec saved in {config.output_dir}")
