"""Train a speech tokenizer: 25 tokens a second, of which each is one of 6561.

The encoder and the quantizer are those of CosyVoice2's tokenizer, at any size. They learn to keep
what is said: a network behind them has to spell the text from the tokens alone, in letters or in
phonemes, by CTC. The folder --output can be given to sled cache tokens; it also holds
speech_tokenizer_v2.onnx, which the published tools read. The same command continues an interrupted
run.

For example:
sled tokenizer speech train --train_manifest train.jsonl.gz --eval_manifest valid.jsonl.gz -o own
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sled.cli.device import choose_device
from sled.training.checkpoints.lock import only_run_in
from sled.training.run_arguments import make_flag_parser
from sled.training.tokenizer.config import TokenizerTrainingConfig
from sled.training.tokenizer.trainer import ONNX_FILE, TokenizerTrainer

FIRST_FLAGS = (
    *("train_manifest", "eval_manifest", "output_dir", "text_normalization"),
    *("hidden_size", "num_heads", "num_layers", "num_decoder_layers"),
    *("max_steps", "max_minutes", "batch_duration_s", "learning_rate", "bf16", "device", "seed"),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Train as the flags say, and report."""
    parser = make_flag_parser(
        TokenizerTrainingConfig, "sled tokenizer speech train", __doc__, FIRST_FLAGS
    )
    (config,) = parser.parse_args_into_dataclasses(argv)
    with only_run_in(Path(config.output_dir)):
        trainer = TokenizerTrainer(replace(config, device=choose_device(config.device)))
        report = trainer.train()
    print(f"{trainer.step} steps in {trainer.trained_s / 60:.1f} min: {report}")
    print(f"tokenizer saved in {config.output_dir}, also as {ONNX_FILE}")
