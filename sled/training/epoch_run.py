"""Runs of models that a `Learner` trains, epoch by epoch, in one process or several.

After each epoch the weights are written, usually in CosyVoice's form, `epoch_3_whole.pt`, with a
record of the settings and the loss of the evaluation beside them. A run that is started again
continues where it was.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch
import yaml
from torch import Tensor
from tqdm import tqdm

from sled.training.checkpoints.lock import only_run_in
from sled.training.processes import Processes
from sled.training.tokens.samples import BatchLoader
from sled.training.workers import explained_worker_errors

logger = logging.getLogger(__name__)

STATE_FILE = "state.pt"
# Steps between two states within an epoch, as a run may be interrupted.
SAVE_STEPS = 500


class Learner(Protocol):
    """Trains a model on batches of `sled.data.tokens`.

    Attributes:
        step: Steps done.
        generator: Draws its random numbers, in each process its own.
        processes: Those that train the model together.
    """

    step: int
    generator: torch.Generator
    processes: Processes

    def train_batches(self, batches: list[dict[str, Any]]) -> dict[str, float]:
        """Make one step; returns named losses, of which `loss` is logged."""
        ...

    def evaluate(self, batches: Iterable[dict[str, Any]]) -> float:
        """Return the mean loss of batches, always with the same random numbers."""
        ...

    def learning_rate(self) -> float:
        """Return the learning rate of the newest step."""
        ...

    def published_state(self) -> dict[str, Tensor]:
        """Return the weights by their published names."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a continued run needs, as tensors and plain values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the result of `state_dict`."""
        ...


@dataclass(frozen=True, kw_only=True)
class EpochRun:
    """What a run consists of.

    Attributes:
        learner: Trains the model.
        accumulate: Batches of a step.
        train_loader: Batches to learn from.
        eval_loader: Batches to evaluate on.
        folder: Where checkpoints are written.
        max_epochs: Number of epochs.
        log_steps: Steps between two lines of the log.
        record: Settings that are written beside each checkpoint.
        seed: Of the random numbers of dropout.
        save: Writes what another form of checkpoints has after an epoch; it is given the learner,
            the number of the epoch and the loss of the evaluation. None: CosyVoice's form.
    """

    learner: Learner
    accumulate: int = 1
    train_loader: BatchLoader
    eval_loader: BatchLoader
    folder: Path
    max_epochs: int
    log_steps: int = 100
    record: Mapping[str, Any]
    seed: int = 1986
    save: Callable[[Learner, int, float], None] | None = None


def train_epochs(run: EpochRun) -> Path:
    """Run, or continue, until the last epoch.

    Returns:
        The folder of the checkpoints.

    Raises:
        ValueError: If the data cannot be used.
        OSError: If a file cannot be read or written.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    is_first = run.learner.processes.rank == 0
    with explained_worker_errors(), only_run_in(run.folder) if is_first else nullcontext():
        torch.manual_seed(run.seed + run.learner.processes.rank)  # of dropout
        epoch, loader = _resume(run), run.train_loader
        for number in range(epoch, run.max_epochs):
            if number != epoch:
                loader.start_epoch(number)
            _train_epoch(run, number)
            run.eval_loader.start_epoch(0)
            loss = run.learner.evaluate(run.eval_loader)
            if is_first:
                logger.info("epoch %d: evaluation loss %.4f", number, loss)
                if run.save is None:
                    _save_checkpoint(run, number, loss)
                else:
                    run.save(run.learner, number, loss)
            loader.start_epoch(number + 1)
            _save_state(run, number + 1)
        run.learner.processes.gather(None)  # all files are written before any process ends
    return run.folder


def mean_of(losses: list[float]) -> float:
    """The mean of the losses of evaluation batches.

    Raises:
        ValueError: If there are none.
    """
    if not losses:
        raise ValueError("there is no batch to evaluate on: name more data for evaluation")
    return sum(losses) / len(losses)


def _train_epoch(run: EpochRun, epoch: int) -> None:
    learner, processes = run.learner, run.learner.processes
    batches = (batch for batch in run.train_loader if batch.get("utts", True))
    hidden = True if processes.rank else None
    with tqdm(desc=f"epoch {epoch}", unit="step", disable=hidden) as bar:
        while group := _next_group(run, batches):
            figures = learner.train_batches(group)
            bar.update()
            bar.set_postfix({name: f"{one:.3f}" for name, one in figures.items()}, refresh=False)
            if learner.step % run.log_steps == 0 and processes.rank == 0:
                shown = ", ".join(f"{name} {one:.4f}" for name, one in figures.items())
                logger.info("step %d: %s", learner.step, shown)
            if learner.step % SAVE_STEPS == 0:
                _save_state(run, epoch)


def _next_group(run: EpochRun, batches: Iterator[Any]) -> list[Any]:
    """The batches of the next step; none when any process has none left: the epoch ends for all.

    Raises:
        ValueError: If the data of any process cannot be used.
        OSError: If they cannot be read.
    """
    group: list[Any] = []
    problem: Exception | None = None
    try:
        group = list(islice(batches, run.accumulate))
    except (ValueError, OSError, RuntimeError) as error:
        problem = error
    counts = run.learner.processes.gather(len(group) if problem is None else -1)
    if problem is not None:
        raise problem
    if min(counts) < 0:
        raise ValueError("another process could not use its data: see what it says")
    return group if min(counts) else []


def _resume(run: EpochRun) -> int:
    """Load the state of an interrupted run, if there is one; returns the epoch to go on with."""
    path, processes = run.folder / STATE_FILE, run.learner.processes
    found = processes.gather(path.exists())
    if not any(found):
        run.train_loader.start_epoch(0)
        return 0
    if not all(found):
        raise ValueError(f"some processes do not see {path}: the folder has to be a shared one")
    state = torch.load(path, map_location="cpu", weights_only=True)
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


def _save_state(run: EpochRun, epoch: int) -> None:
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
        _replace(run.folder / STATE_FILE, partial(torch.save, state))


def _save_checkpoint(run: EpochRun, epoch: int, loss: float) -> None:
    """Write weights and record; the record last, so that a record has its weights."""
    learner = run.learner
    state: dict[str, Any] = {name: one.cpu() for name, one in learner.published_state().items()}
    path = run.folder / f"epoch_{epoch}_whole.pt"
    _replace(path, partial(torch.save, state | {"epoch": epoch, "step": learner.step}))
    record = dict(run.record) | {
        "epoch": epoch,
        "step": learner.step,
        "tag": "CV",
        "lr": learner.learning_rate(),
        "loss_dict": {"loss": loss},
        "save_time": datetime.now().strftime("%d/%m/%Y %H:%M:%S"),
    }
    text = yaml.safe_dump(record, sort_keys=True)
    _replace(path.with_suffix(".yaml"), lambda part: part.write_text(text, encoding="utf-8"))


def _replace(path: Path, write: Any) -> None:
    """Write a file so that an interruption leaves the older one."""
    part = path.with_name(f".{path.name}.part")
    write(part)
    os.replace(part, path)
