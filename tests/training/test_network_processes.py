"""Flows and vocoders that two processes train are those that one trains on the batches of both."""

from __future__ import annotations

import math
import multiprocessing
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sled.codec.features import MEL_24K, log_mel
from sled.codec.flow.base import FlowBatch
from sled.codec.vocoder.vocos import Vocos, VocosSizes
from sled.training.epoch_run import EpochRun, train_epochs
from sled.training.flow.batch import flow_batch
from sled.training.flow.learner import FlowLearner, FlowTraining
from sled.training.processes import ALONE, Processes, started_processes
from sled.training.vocoder.discriminator import VocoderDiscriminator
from sled.training.vocoder.learner import VocoderLearner, VocoderTraining
from tests.codec.flow.models import cosyvoice2_flow
from tests.debug import randn
from tests.training.flow.test_learner import raw_batch
from tests.training.flow.test_run import in_memory, new_flow
from tests.training.tokens.runs import MemoryLoader

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


class PlannedFlow(FlowLearner):
    """Draws the numbers of each batch from a generator of its own."""

    def loss(self, batch: FlowBatch) -> Tensor:
        seed = self.step * 10 + int(batch.speaker[0, 0] * 1e6) % 7
        self.generator.manual_seed(seed)
        return super().loss(batch)


def flow_batches(rank: int) -> FlowBatch:
    raw = raw_batch()
    raw["speech_feat"] = randn(2, 21, 80, seed=rank + 5)
    raw["embedding"] = randn(2, 16, seed=rank + 7)
    return flow_batch(raw, cosyvoice2_flow())


def flow_without_dropout() -> nn.Module:
    flow = new_flow(16, 81)
    for module in flow.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return flow


def train_flow(processes: Processes, batches: Sequence[FlowBatch]) -> nn.Module:
    flow = flow_without_dropout()
    training = FlowTraining(learning_rate=1e-3)
    learner = PlannedFlow(flow, training, torch.Generator(), processes=processes)
    for _ in range(STEPS):
        learner.train_batches(list(batches))
    return flow


def part_of_flow(processes: Processes, folder: Path) -> None:
    save(train_flow(processes, [flow_batches(processes.rank)]), processes, folder)


def test_a_flow(tmp_path: Path) -> None:
    in_processes(part_of_flow, tmp_path)
    alone = train_flow(ALONE, [flow_batches(0), flow_batches(1)])
    assert_same(alone, flow_without_dropout(), tmp_path)


def tones() -> tuple[Tensor, Tensor]:
    pitch = torch.tensor([[150.0], [220.0]])
    waveforms = 0.3 * (2 * math.pi * pitch * torch.arange(8 * 480) / 24_000).sin()
    return log_mel(waveforms, MEL_24K), waveforms


def new_vocos() -> nn.ModuleList:
    torch.manual_seed(0)
    vocoder = Vocos(VocosSizes(dim=16, intermediate_dim=24, num_layers=2))
    discriminator = VocoderDiscriminator(2, 2, periods=(2, 3), resolutions=((64, 16, 64),))
    return nn.ModuleList([vocoder, discriminator])


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


def uneven_run(processes: Processes, folder: Path, max_epochs: int) -> EpochRun:
    """One process has a batch more than the other in each epoch."""
    run = in_memory(folder, max_epochs)
    assert isinstance(run.learner, FlowLearner)
    run.learner.processes = processes
    run.learner.generator.manual_seed(processes.rank)
    settings: dict[str, Any] = vars(run)
    settings["train_loader"] = MemoryLoader([raw_batch()] * (2 + processes.rank))
    return EpochRun(**settings)


def part_of_run(processes: Processes, folder: Path, epochs: Sequence[int]) -> None:
    for max_epochs in epochs:
        train_epochs(uneven_run(processes, folder, max_epochs))


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
        train_epochs(in_memory(tmp_path / "whole", 3))
