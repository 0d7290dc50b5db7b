"""Failures in long runs: killed processes, broken losses, full disks, dead workers.

In each case there is a clear message, earlier checkpoints are complete, and the same command
continues bit-equal to a run without the failure.
"""

import gc
import os
import shutil
import signal
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import pytest
from safetensors import SafetensorError
from torch.utils.data._utils import signal_handling

from sled.training.trainer import SledTrainer
from tests.training.processes import die_in, run_ranks
from tests.training.runs import (
    assert_same_weights,
    checkpoints,
    fit,
    flags,
    logged,
    make_corpus,
)

# Of torch, on machines with a single processor.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")

# Three batches to an epoch and two to a step: steps reach over the ends of epochs. Text dropout,
# dropout, history noise and the choice of a layout are all random.
SETTINGS = {
    "max_steps": 5,
    "gradient_accumulation_steps": 2,
    "dataloader_num_workers": 2,
    "save_strategy": "steps",
    "save_steps": 1,
    "stream_n": 3,
    "stream_m": 10,
    "offline_share": 0.5,
    "history_noise": 0.2,
    "training_cfg": 0.3,
}


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory) -> Path:
    """A run without a failure."""
    return fit(corpus, tmp_path_factory.mktemp("whole"), **SETTINGS)


def assert_as_if_nothing_had_happened(whole: Path, run: Path) -> None:
    assert_same_weights(whole, run)
    assert logged(whole, "loss") == logged(run, "loss")
    assert not (run / ".partial").exists()


def assert_all_whole(whole: Path, run: Path, steps: list[int]) -> None:
    """Check that the run has exactly these checkpoints, and that they are complete."""
    assert checkpoints(run) == steps
    wanted = {path.name for path in (whole / "checkpoint-1").iterdir()}
    for step in steps:
        assert {path.name for path in (run / f"checkpoint-{step}").iterdir()} == wanted


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_a_run_goes_on_from_any_step(step, whole, corpus, tmp_path):
    shutil.copytree(whole / f"checkpoint-{step}", tmp_path / f"checkpoint-{step}")
    fit(corpus, tmp_path, **SETTINGS)
    assert_as_if_nothing_had_happened(whole, tmp_path)


def test_damaged_checkpoints_are_passed_over(whole, corpus, tmp_path, caplog):
    files = ["model.safetensors", "optimizer.pt", "trainer_state.json", "batches.json"]
    for step in range(1, 6):
        shutil.copytree(whole / f"checkpoint-{step}", tmp_path / f"checkpoint-{step}")
    for step, name in enumerate(files, 2):
        damaged = tmp_path / f"checkpoint-{step}" / name
        damaged.write_bytes(damaged.read_bytes()[:100])
    fit(corpus, tmp_path, **SETTINGS)
    for step, name in enumerate(files, 2):
        assert f"checkpoint-{step} cannot be read ({name}: " in caplog.text
    assert "going on from checkpoint-1 instead" in caplog.text
    assert_as_if_nothing_had_happened(whole, tmp_path)


@pytest.mark.parametrize("changes", [{}, {"resume_from_checkpoint": "checkpoint-2"}])
def test_damaged_checkpoints_alone_are_refused(changes, whole, corpus, tmp_path):
    shutil.copytree(whole / "checkpoint-2", tmp_path / "checkpoint-2")
    (tmp_path / "checkpoint-2" / "batches.json").unlink()
    changes = {name: tmp_path / value for name, value in changes.items()}
    with pytest.raises(ValueError, match=r"checkpoint-2 cannot be read \(no batches.json\)"):
        fit(corpus, tmp_path, **SETTINGS, **changes)


@pytest.mark.parametrize(
    ("method", "call", "saved"),
    [
        pytest.param("training_step", 6, [1, 2], id="between the two batches of step 3"),
        pytest.param("_save_rng_state", 3, [1, 2], id="while checkpoint 3 is written"),
        pytest.param("complete_checkpoint", 1, [], id="before the first checkpoint is whole"),
        pytest.param("staged", 6, [1, 2, 3, 4, 5], id="before the trained model is saved"),
    ],
)
def test_a_killed_run_goes_on(method, call, saved, whole, corpus, tmp_path):
    command = flags(corpus, tmp_path, **SETTINGS)
    assert run_ranks(1, command, partial(die_in, method, call)) == [-signal.SIGKILL]
    assert_all_whole(whole, tmp_path, saved)
    fit(corpus, tmp_path, **SETTINGS)
    assert_as_if_nothing_had_happened(whole, tmp_path)


@pytest.mark.parametrize(
    ("logging_steps", "message"),
    [(1, "the loss is nan at step 3"), (100, "weights are not finite at step 3")],
)
def test_a_loss_that_is_no_number_stops_the_run(
    logging_steps, message, whole, corpus, tmp_path, monkeypatch
):
    forward = SledTrainer._forward

    def broken(trainer, model, inputs):
        output = forward(trainer, model, inputs)
        if trainer.state.global_step == 2:
            output = output._replace(score_loss=output.score_loss * float("nan"))
        return output

    with monkeypatch.context() as patch, pytest.raises(ValueError, match=message):
        patch.setattr(SledTrainer, "_forward", broken)
        fit(corpus, tmp_path, **SETTINGS | {"logging_steps": logging_steps})
    assert_all_whole(whole, tmp_path, [1, 2])
    fit(corpus, tmp_path, **SETTINGS)
    assert_same_weights(whole, tmp_path)


def test_a_full_disk_leaves_no_half_checkpoint(whole, corpus, tmp_path, monkeypatch):
    """Whichever library finds it out."""

    save = SledTrainer._save_rng_state
    errors = [
        OSError(28, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc] . unexpected pos 64 vs 0"),
        SafetensorError("Error while serializing: IoError(StorageFull)"),
    ]

    def save_rng_state(trainer, folder):
        if trainer.state.global_step == 3:
            raise errors.pop()
        save(trainer, folder)

    while errors:
        with monkeypatch.context() as patch:
            patch.setattr(SledTrainer, "_save_rng_state", save_rng_state)
            with pytest.raises(OSError, match="step 3 could not be saved"):
                fit(corpus, tmp_path, **SETTINGS)
        assert_all_whole(whole, tmp_path, [1, 2])
        assert not (tmp_path / ".partial").exists()  # it may be what fills the disk
    fit(corpus, tmp_path, **SETTINGS)
    assert_as_if_nothing_had_happened(whole, tmp_path)


def test_a_dead_data_worker_stops_the_run(whole, corpus, tmp_path, monkeypatch):
    def kill_a_worker(trainer, *args):
        # One that has loaded all it had to is not missed: it is done again and again.
        if trainer.state.global_step >= 2 and (workers := active_children()):
            os.kill(workers[0].pid, signal.SIGKILL)
        return training_step(trainer, *args)

    training_step = SledTrainer.training_step
    # Torch's handler raises the error in whatever runs when a worker ends, be it pytest. Without
    # it, the loader finds out by itself, after 5 s.
    monkeypatch.setattr(signal_handling, "_error_if_any_worker_fails", lambda: None)
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="a data worker died"):
        patch.setattr(SledTrainer, "training_step", kill_a_worker)
        fit(corpus, tmp_path, **SETTINGS | {"max_steps": 50})
    gc.collect()  # the loader, before the handler is back
    saved = checkpoints(tmp_path)
    assert saved[:2] == [1, 2]
    assert_all_whole(whole, tmp_path, saved)


def test_what_a_data_worker_cannot_read_is_told_without_its_traceback(tmp_path):
    make_corpus(tmp_path)
    (tmp_path / "3.wav").unlink()
    with pytest.raises(ValueError, match="^cut clip-3: cannot read its audio"):
        fit(
            tmp_path,
            tmp_path / "run",
            train_manifest=tmp_path / "cuts.jsonl.gz",
            dataloader_num_workers=1,
        )
