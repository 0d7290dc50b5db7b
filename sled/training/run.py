"""A training run from flags to checkpoint: new models and fine-tuning alike."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import set_seed
from transformers.trainer import TRAINER_STATE_NAME

from sled.training.agreement import decided_by_first
from sled.training.arguments import (
    Arguments,
    DataArguments,
    LoraArguments,
    ModelArguments,
    SledTrainingArguments,
    make_parser,
    parse_flags,
)
from sled.training.callbacks.report import show_progress
from sled.training.callbacks.samples import show_samples
from sled.training.callbacks.time_limit import TimeLimit
from sled.training.checkpoints.integrity import checkpoint_to_continue
from sled.training.checkpoints.lock import only_run_in
from sled.training.checkpoints.lora import save_merged, unwrap
from sled.training.checkpoints.saving import finished_steps, publish_model
from sled.training.recordings import defaults_for_recordings
from sled.training.run_arguments import check_evaluation_data
from sled.training.setup import make_trainer
from sled.training.trainer import SledTrainer

logger = logging.getLogger(__name__)

# Flags of which it matters whether they are given.
_FLAGS_TO_FIND = ("max_steps", "output_dir", "use_cpu", "text_normalization", "codec")


def train(
    argv: Sequence[str] | None = None,
    defaults: Mapping[str, Any] | None = None,
    description: str | None = None,
) -> Path:
    """Parse the flags, train, and save; an interrupted run continues where it stopped.

    Args:
        argv: Command line. None: that of the process.
        defaults: Flag defaults of the calling command.
        description: Description of the calling command, for --help.

    Returns:
        The output folder, which holds the trained model.

    Raises:
        ValueError: For flags, data or a checkpoint that cannot be used, if another run writes to
            the output folder, and as `SledTrainer.run`.
        OSError: If something cannot be read or written.
    """
    start = time.monotonic()
    arguments = parse_flags(argv, defaults, description)
    if arguments[-1].process_index > 0:  # the first process holds the lock
        return _train(argv, arguments, start)
    assert arguments[-1].output_dir is not None  # transformers sets a default
    with only_run_in(Path(arguments[-1].output_dir)):
        return _train(argv, arguments, start)


def _train(argv: Sequence[str] | None, arguments: Arguments, start: float) -> Path:
    """Train as flags say, which were parsed from a command line, since a time."""
    model_args, lora_args, data_args, args = arguments
    if data_args.recordings is not None:
        given = make_parser(dict.fromkeys(_FLAGS_TO_FIND)).parse_known_args(argv)[0]
        chosen = defaults_for_recordings(given)
        model_args, lora_args, data_args, args = parse_flags(argv, chosen)
        model_args.finetune_path, data_args.codec = chosen["finetune_path"], chosen["codec"]
    if args.process_index > 0:
        logging.getLogger("sled").setLevel(logging.WARNING)  # only the first process logs
    assert args.output_dir is not None  # transformers sets a default
    output_dir = Path(args.output_dir)
    if (steps := decided_by_first(lambda: finished_steps(output_dir))) >= args.max_steps:
        logger.info(
            "%s holds the model after all of its %d steps: nothing to do (to train on, raise "
            "--max_steps; to start anew, name another --output)",
            output_dir,
            steps,
        )
        return output_dir
    _check_flags(model_args, lora_args, data_args, args)
    trainer = make_trainer(model_args, lora_args, data_args, args)
    show_progress(trainer)
    show_samples(trainer)
    if args.max_minutes is not None:
        trainer.add_callback(TimeLimit.of_minutes(start, args.max_minutes, trainer.accelerator))
    named = args.resume_from_checkpoint
    last = decided_by_first(lambda: checkpoint_to_continue(named, output_dir))
    if last is not None:
        logger.info("continuing from %s", last)
    # All processes have made the same model; from here on each has its own noise.
    set_seed(args.seed + args.process_index)
    trainer.run(last)
    save_result(trainer)
    logger.info(
        'model saved in %s; hear it with: sled speak --model %s "TEXT"', output_dir, output_dir
    )
    if not trainer.is_over:
        logger.info(
            "time is up after step %d of %d: the same command continues",
            trainer.state.global_step,
            args.max_steps,
        )
    return output_dir


def save_result(trainer: SledTrainer) -> None:
    """Write the final model: with averaged weights if there are any, and with adapters merged in.

    Raises:
        OSError: If it cannot be written.
    """
    if trainer.ema is not None:
        trainer.ema.apply()  # the last checkpoint has the weights of the last step
    model: Any = trainer.model  # may be peft's wrapper
    with trainer.staged() as folder:
        if unwrap(model) is model:
            trainer.save_model(str(folder))
        elif trainer.args.should_save:
            save_merged(model, trainer.train_dataset.tokenizer, folder)
        if trainer.args.should_save:
            trainer.state.save_to_json(str(folder / TRAINER_STATE_NAME))
            publish_model(folder, trainer.output_dir)


def _check_flags(
    model_args: ModelArguments,
    lora_args: LoraArguments,
    data_args: DataArguments,
    args: SledTrainingArguments,
) -> None:
    """Check flags of different groups against each other.

    Raises:
        ValueError: If flags are missing or contradict each other.
    """
    if not data_args.train_manifest:
        raise ValueError("--train_manifest is missing: name what to train with (see --help)")
    check_evaluation_data(args, data_args.eval_manifest)
    if lora_args.lora_rank and model_args.finetune_path is None:
        raise ValueError(
            f"--lora_rank {lora_args.lora_rank}: adapters need an existing model, name it with "
            "--finetune_path"
        )
    if model_args.distill_cfg is not None and model_args.finetune_path is None:
        raise ValueError(
            f"--distill_cfg {model_args.distill_cfg:g}: guidance needs an existing model, name it "
            "with --finetune_path"
        )
    if model_args.conditions and model_args.finetune_path is not None:
        raise ValueError(
            f"--conditions {' '.join(model_args.conditions)}: the checkpoint of --finetune_path "
            "decides them, leave the flag out"
        )
