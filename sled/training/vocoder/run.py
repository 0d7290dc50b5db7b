"""Runs of the training of vocoders, epoch by epoch, in one process or several.

After each epoch the weights are written in CosyVoice's form, `epoch_3_whole.pt`, with a record of
the settings and the loss of the evaluation beside them; also those that it begins with, `init.pt`,
and some within an epoch, `epoch_3_step_500.pt`. A run that is started again continues where it was.

This is not the trainer of other models: two networks with optimisers of their own learn in turns.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from sled.training.agreement import NO_BATCH, take_group
from sled.training.checkpoints.lock import only_run_in
from sled.training.checkpoints.state import load_state, save_state
from sled.training.tokens.callbacks import Curves
from sled.training.tokens.published_checkpoints import INITIAL, published_tag, write_published
from sled.training.tokens.samples import BatchLoader, Start
from sled.training.vocoder.learner import VocoderLearner
from sled.training.workers import explained_worker_errors

logger = logging.getLogger(__name__)

STATE_FILE = "state.pt"
# Steps between two states within an epoch, as a run may be interrupted.
SAVE_STEPS = 500


@dataclass(frozen=True, kw_only=True)
class VocoderRun:
    """What a run consists of.

    Attributes:
        learner: Trains the vocoder.
        train_loader: Batches to learn from.
        eval_loader: Batches to evaluate on.
        folder: Where checkpoints are written.
        max_epochs: Number of epochs.
        log_steps: Steps between two lines of the log.
        record: Settings that are written beside each checkpoint.
        seed: Of torch's random numbers.
        save_steps: Steps between two evaluations and checkpoints within an epoch. None: there are
            none.
        start: Where it begins to count.
        curves: Gets the figures of the log and of evaluations.
    """

    learner: VocoderLearner
    train_loader: BatchLoader
    eval_loader: BatchLoader
    folder: Path
    max_epochs: int
    log_steps: int = 100
    record: Mapping[str, Any]
    seed: int = 1986
    save_steps: int | None = None
    start: Start = Start()
    curves: Curves | None = None

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.learner.processes.rank == 0


def train_vocoder(run: VocoderRun) -> Path:
    """Run, or continue, until the last epoch.

    Returns:
        The folder of the checkpoints.

    Raises:
        ValueError: If the data cannot be used.
        OSError: If a file cannot be read or written.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    with explained_worker_errors(), only_run_in(run.folder) if run.is_first else nullcontext():
        torch.manual_seed(run.seed + run.learner.processes.rank)
        epoch, loader = _resume(run), run.train_loader
        if epoch is None:
            epoch = _begin(run)
        for number in range(epoch, run.max_epochs):
            if number != epoch:
                loader.start_epoch(number)
            _train_epoch(run, number)
            _evaluate(run, number, is_whole=True)
            loader.start_epoch(number + 1)
            _save_state(run, number + 1)
        run.learner.processes.gather(None)  # all files are written before any process ends
    return run.folder


def _begin(run: VocoderRun) -> int:
    """Begin a run; returns its first epoch.

    Raises:
        ValueError: If there is no epoch left.
    """
    start = run.start
    start.require_epochs_left(run.max_epochs)
    run.learner.step = start.step
    run.train_loader.start_epoch(start.epoch)
    if run.is_first:
        counts = {"epoch": start.epoch - 1, "step": start.step}
        weights = run.learner.published_state()
        write_published(run.folder, INITIAL, weights, dict(run.record) | counts)
    return start.epoch


def _evaluate(run: VocoderRun, epoch: int, *, is_whole: bool) -> None:
    """Evaluate, and write a checkpoint, after an epoch or within it."""
    run.eval_loader.start_epoch(0)
    learner = run.learner
    loss = learner.evaluate(run.eval_loader)
    if not run.is_first:
        return
    logger.info("epoch %d, step %d: evaluation loss %.4f", epoch, learner.step, loss)
    if run.curves is not None:
        figures = {"loss": loss, "epoch": epoch, "lr": learner.learning_rate()}
        run.curves.write("CV", figures, learner.step)
    record = dict(run.record) | {
        "epoch": epoch,
        "step": learner.step,
        "tag": "CV",
        "lr": learner.learning_rate(),
        "loss_dict": {"loss": loss},
    }
    tag = published_tag(epoch, learner.step, is_whole)
    write_published(run.folder, tag, learner.published_state(), record)


def _train_epoch(run: VocoderRun, epoch: int) -> None:
    learner, processes = run.learner, run.learner.processes
    is_at_start, first = run.train_loader.state_dict()["index"] < 0, learner.step
    batches = iter(run.train_loader)

    def least(number: int) -> int:
        return min(map(int, processes.gather(number)))

    hidden = True if processes.rank else None
    with tqdm(desc=f"epoch {epoch}", unit="step", disable=hidden) as bar:
        while group := take_group(batches, 1, learner.take, least):
            figures = learner.train_step(*group[0])
            bar.update()
            bar.set_postfix({name: f"{one:.3f}" for name, one in figures.items()}, refresh=False)
            if learner.step % run.log_steps == 0 and run.is_first:
                shown = ", ".join(f"{name} {one:.4f}" for name, one in figures.items())
                logger.info("step %d: %s", learner.step, shown)
                if run.curves is not None:
                    counts = {"epoch": epoch, "lr": learner.learning_rate()}
                    run.curves.write("TRAIN", figures | counts, learner.step)
            is_due = run.save_steps is not None and learner.step % run.save_steps == 0
            if is_due:
                _evaluate(run, epoch, is_whole=False)
            if is_due or learner.step % SAVE_STEPS == 0:
                _save_state(run, epoch)
    # A run that is continued after the last step of an epoch finds no batch, either.
    if is_at_start and learner.step == first:
        raise ValueError(NO_BATCH)


def _resume(run: VocoderRun) -> int | None:
    """Load the state of an interrupted run; returns its epoch. None: there is none."""
    path, processes = run.folder / STATE_FILE, run.learner.processes
    found = processes.gather(path.exists())
    if not any(found):
        return None
    if not all(found):
        raise ValueError(f"some processes do not see {path}: the folder has to be a shared one")
    state = load_state(path)
    own = state["processes"]
    if len(own) != processes.size:
        raise ValueError(
            f"{run.folder} was begun by {len(own)} processes, and is continued by as many, not by "
            f"{processes.size}"
        )
    run.learner.load_state_dict(state["learner"])
    if processes.rank:  # the learner's state is that of the first process
        run.learner.generator.set_state(own[processes.rank]["generator"])
    torch.set_rng_state(own[processes.rank]["dropout"])
    device, on_device = run.learner.generator.device, own[processes.rank].get("device_dropout")
    if device.type == "cuda" and on_device is not None:
        torch.cuda.set_rng_state(on_device, device)
    run.train_loader.start_epoch(state["epoch"])
    run.train_loader.load_state_dict(own[processes.rank]["batches"])
    if processes.rank == 0:
        logger.info("continuing %s at step %d", run.folder, run.learner.step)
    return int(state["epoch"])


def _save_state(run: VocoderRun, epoch: int) -> None:
    device = run.learner.generator.device
    own = {
        "generator": run.learner.generator.get_state(),
        "dropout": torch.get_rng_state(),
        "device_dropout": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "batches": run.train_loader.state_dict(),
    }
    processes = run.learner.processes.gather(own)
    if run.learner.processes.rank == 0:
        state = {"learner": run.learner.state_dict(), "epoch": epoch, "processes": processes}
        save_state(state, run.folder / STATE_FILE)
