"""A run of training on a corpus of speech tokens, from flags to checkpoint."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from transformers import TrainerCallback, TrainerState, set_seed
from transformers.trainer import TRAINER_STATE_NAME

from sled.training.agreement import decided_by_first
from sled.training.callbacks.report import show_progress
from sled.training.callbacks.time_limit import TimeLimit
from sled.training.checkpoints.integrity import checkpoint_to_continue
from sled.training.checkpoints.lock import only_run_in
from sled.training.checkpoints.saving import finished_steps, publish_model
from sled.training.epoch_arguments import EpochTrainingArguments
from sled.training.epoch_trainer import EpochTrainer
from sled.training.run_arguments import check_evaluation_data
from sled.training.tokens.arguments import TokenRun, parse_token_flags
from sled.training.tokens.setup import PublishedForm, make_token_trainer

logger = logging.getLogger(__name__)


def train_tokens(argv: Sequence[str] | None = None, description: str | None = None) -> Path:
    """Parse the flags, train, and save; an interrupted run continues where it stopped.

    Args:
        argv: Command line. None: that of the process.
        description: Description of the calling command, for --help.

    Returns:
        The output folder, which holds the trained model.

    Raises:
        ValueError: For flags, data or a checkpoint that cannot be used.
        OSError: If something cannot be read or written.
    """
    return run_tokens(parse_token_flags(argv, description))


def run_tokens(
    run: TokenRun, form: PublishedForm | None = None, callbacks: Sequence[TrainerCallback] = ()
) -> Path:
    """Train as flags say; see `train_tokens`.

    Args:
        run: The flags.
        form: What a run in the published form has beside them. None: it is none.
        callbacks: Called between the steps.
    """
    _check(run)
    return run_trainer(lambda: make_token_trainer(run, form), run[-1], callbacks)


def run_trainer(
    make_trainer: Callable[[], EpochTrainer],
    args: EpochTrainingArguments,
    callbacks: Sequence[TrainerCallback] = (),
) -> Path:
    """Train and save, or go on where an interrupted run stopped.

    Args:
        make_trainer: Makes the trainer, the same on every process.
        args: The flags of the run.
        callbacks: Called between the steps.

    Returns:
        The output folder, which holds the trained model.

    Raises:
        ValueError: If data or a checkpoint cannot be used.
        OSError: If something cannot be read or written.
    """
    began = time.monotonic()
    assert args.output_dir is not None  # transformers sets a default
    output_dir = Path(args.output_dir)
    if args.process_index > 0:  # the first process holds the lock, and logs
        logging.getLogger("sled").setLevel(logging.WARNING)
        return _run(make_trainer, args, callbacks, output_dir, began)
    with only_run_in(output_dir):
        return _run(make_trainer, args, callbacks, output_dir, began)


def _run(
    make_trainer: Callable[[], EpochTrainer],
    args: EpochTrainingArguments,
    callbacks: Sequence[TrainerCallback],
    output_dir: Path,
    began: float,
) -> Path:
    if decided_by_first(lambda: _is_finished(output_dir, args)):
        logger.info(
            "%s holds the model after all of its steps: nothing to do (to train on, raise "
            "--max_steps or --max_epochs; to start anew, name another --output)",
            output_dir,
        )
        return output_dir
    trainer = make_trainer()
    show_progress(trainer)
    for callback in callbacks:
        trainer.add_callback(callback)
    if args.max_minutes is not None:
        trainer.add_callback(TimeLimit.of_minutes(began, args.max_minutes, trainer.accelerator))
    named = args.resume_from_checkpoint
    last = decided_by_first(lambda: checkpoint_to_continue(named, output_dir))
    if last is not None:
        logger.info("continuing from %s", last)
    # All processes have made the same model; from here on each draws its own layouts.
    set_seed(args.seed + args.process_index)
    trainer.run(last)
    _save_result(trainer)
    logger.info("model saved in %s after step %d", output_dir, trainer.state.global_step)
    return output_dir


def _check(run: TokenRun) -> None:
    """Check flags against each other.

    Raises:
        ValueError: If flags are missing or contradict each other.
    """
    model_args, data_args, args = run
    if not data_args.train_manifest:
        raise ValueError("--train_manifest is missing: name the data.list of a corpus in Parquet")
    check_evaluation_data(args, data_args.eval_manifest)
    if model_args.finetune_path is not None and model_args.pretrained_text_model is not None:
        raise ValueError(
            "--pretrained_text_model is for new models: leave it out with --finetune_path, or name "
            "its folder as --tokenizer"
        )


def _is_finished(output_dir: Path, args: EpochTrainingArguments) -> bool:
    steps = finished_steps(output_dir)
    if args.max_epochs is None or not steps:
        return steps >= args.max_steps
    state = TrainerState.load_from_json(str(output_dir / TRAINER_STATE_NAME))
    return (state.epoch or 0) >= args.max_epochs


def _save_result(trainer: EpochTrainer) -> None:
    """Write the final model, with averaged weights if there are any.

    Raises:
        OSError: If it cannot be written.
    """
    if trainer.ema is not None:
        trainer.ema.apply()  # the last checkpoint has the weights of the last step
    trainer.state.epoch = trainer.epochs_done()
    with trainer.staged() as folder:
        trainer.save_model(str(folder))
        if trainer.args.should_save:
            trainer.state.save_to_json(str(folder / TRAINER_STATE_NAME))
            publish_model(folder, trainer.output_dir)
