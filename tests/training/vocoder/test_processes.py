"""A vocoder that two processes train is that which one trains on the batches of both."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from sled.codec.vocoder.vocos import Vocos
from sled.training.vocoder.discriminator import VocoderDiscriminator
from sled.training.vocoder.learner import VocoderLearner, VocoderTraining
from sled.training.vocoder.processes import ALONE, Processes, started_processes
from sled.training.vocoder.run import VocoderRun, train_vocoder
from tests.training.tokens.runs import MemoryLoader
from tests.training.vocoder.test_run import in_memory, new_vocos, raw_batch, tones

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])
STEPS = 2
Work = Callable[[Processes, Path], None]


def in_processes(work: Work, folder: Path, size: int = 2) -> None:
    """Do work in so many processes, which find each other as under torchrun."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(size)}
    processes = [
        _CONTEXT.Process(target=_join, args=(work, folder, shared | {"RANK": str(rank)}))
        for rank in range(size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
        process.kill()
        process.join()
    assert [process.exitcode for process in processes] == [0] * size


def _join(work: Work, folder: Path, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    with started_processes("gloo") as processes:
        work(processes, folder)


def save(model: nn.Module, processes: Processes, folder: Path) -> None:
    torch.save(model.state_dict(), folder / f"{processes.rank}.pt")


def assert_same(model: nn.Module, begun: nn.Module, folder: Path) -> None:
    """Compare with the weights of two processes, which are equal to the last bit."""
    first, second = (torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2))
    off, moved = 0.0, 0.0
    for name, start in begun.named_parameters():
        assert first[name].equal(second[name]), name
        ours = model.get_parameter(name)
        off += float((first[name] - ours.detach()).square().sum())
        moved += float((ours - start).detach().square().sum())
    assert moved > 0 and off < 1e-4 * moved  # where gradients are tiny, Adam makes much of rounding


def train_vocos(
    processes: Processes, rows: slice, steps: int = STEPS
) -> tuple[list[dict[str, float]], nn.Module]:
    both = new_vocos()
    # Medians of a batch, of which the relativistic loss is made, are not means of its parts.
    training = VocoderTraining(learning_rate=2e-3, relativistic_weight=0.0)
    vocoder, discriminator = both
    assert isinstance(vocoder, Vocos) and isinstance(discriminator, VocoderDiscriminator)
    learner = VocoderLearner(vocoder, discriminator, training, torch.Generator(), processes)
    mel, waveforms = tones()
    return [learner.train_step(mel[rows], waveforms[rows], None) for _ in range(steps)], both


def part_of_vocos(processes: Processes, folder: Path) -> None:
    rows = slice(processes.rank, processes.rank + 1)
    save(train_vocos(processes, rows)[1], processes, folder)


def test_vocos_and_its_discriminator(tmp_path: Path) -> None:
    in_processes(part_of_vocos, tmp_path)
    assert_same(train_vocos(ALONE, slice(0, 2))[1], new_vocos(), tmp_path)


def test_the_losses_of_vocos_fall() -> None:
    losses, _ = train_vocos(ALONE, slice(0, 2), steps=12)
    assert losses[0].keys() == {"mel", "adversarial", "feature", "relativistic", "discriminator"}
    for name in ("mel", "discriminator"):
        assert losses[-1][name] < losses[0][name]


def uneven_run(processes: Processes, folder: Path, max_epochs: int) -> VocoderRun:
    """One process has a batch more than the other in each epoch."""
    run = in_memory(folder, max_epochs, processes)
    run.learner.generator.manual_seed(processes.rank)
    return replace(run, train_loader=MemoryLoader([raw_batch()] * (2 + processes.rank)))


def part_of_run(processes: Processes, folder: Path, epochs: Sequence[int]) -> None:
    for max_epochs in epochs:
        train_vocoder(uneven_run(processes, folder, max_epochs))


def test_a_continued_run_of_two_processes_is_the_same(tmp_path: Path) -> None:
    for name, epochs in (("whole", [2]), ("continued", [1, 2])):
        (tmp_path / name).mkdir()
        in_processes(partial(part_of_run, epochs=epochs), tmp_path / name)
    ours, theirs = (
        torch.load(tmp_path / name / "epoch_1_whole.pt", weights_only=True)
        for name in ("continued", "whole")
    )
    assert ours["step"] == theirs["step"] == 4  # the epoch ends for both
    for name, one in ours.items():
        assert torch.as_tensor(one).equal(torch.as_tensor(theirs[name])), name
    with pytest.raises(ValueError, match="was begun by 2 processes"):
        train_vocoder(in_memory(tmp_path / "whole", 3))
