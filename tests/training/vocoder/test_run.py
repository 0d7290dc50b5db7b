"""Runs of the training of a vocoder: what is written, and what a continued run is."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sled.codec.features import MEL_24K, log_mel
from sled.codec.vocoder.vocos import Vocos, VocosSizes
from sled.training.vocoder import run as vocoder_run
from sled.training.vocoder.discriminator import VocoderDiscriminator
from sled.training.vocoder.learner import VocoderLearner, VocoderTraining
from sled.training.vocoder.processes import ALONE, Processes
from sled.training.vocoder.run import VocoderRun, train_vocoder
from tests.training.tokens.runs import MemoryLoader


def tones() -> tuple[Tensor, Tensor]:
    pitch = torch.tensor([[150.0], [220.0]])
    waveforms = 0.3 * (2 * math.pi * pitch * torch.arange(8 * 480) / 24_000).sin()
    return log_mel(waveforms, MEL_24K), waveforms


def new_vocos() -> nn.ModuleList:
    torch.manual_seed(0)
    vocoder = Vocos(VocosSizes(dim=16, intermediate_dim=24, num_layers=2))
    discriminator = VocoderDiscriminator(2, 2, periods=(2, 3), resolutions=((64, 16, 64),))
    return nn.ModuleList([vocoder, discriminator])


def raw_batch() -> dict[str, Tensor]:
    """As `sled.data.tokens` makes it of parts of recordings."""
    mel, waveforms = tones()
    return {"speech_feat": mel.mT, "speech": waveforms}


def in_memory(folder: Path, max_epochs: int = 2, processes: Processes = ALONE) -> VocoderRun:
    vocoder, discriminator = new_vocos()
    assert isinstance(vocoder, Vocos) and isinstance(discriminator, VocoderDiscriminator)
    training, generator = VocoderTraining(), torch.Generator().manual_seed(0)
    return VocoderRun(
        learner=VocoderLearner(vocoder, discriminator, training, generator, processes),
        train_loader=MemoryLoader([raw_batch()] * 3),
        eval_loader=MemoryLoader([raw_batch()]),
        folder=folder,
        max_epochs=max_epochs,
        record={"setting": 1},
    )


def test_an_evaluation_is_a_mean_over_utterances(monkeypatch) -> None:
    """A batch of two utterances counts twice as much as one of one."""
    learner = in_memory(Path()).learner
    pair = raw_batch()
    single = {name: one[:1] for name, one in pair.items()}

    def difference(made: Tensor, real: Tensor) -> Tensor:
        return torch.tensor(6.0 if len(made) == 1 else 3.0)

    monkeypatch.setattr(learner, "difference", difference)
    assert learner.evaluate([single, pair]) == pytest.approx((6 + 2 * 3) / 3)


def weights(folder: Path, epoch: int) -> dict[str, torch.Tensor]:
    return torch.load(folder / f"epoch_{epoch}_whole.pt", weights_only=True)


def test_an_interrupted_run_continues_as_if_it_had_not_been(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(vocoder_run, "SAVE_STEPS", 2)
    whole = train_vocoder(in_memory(tmp_path / "whole"))
    broken = in_memory(tmp_path / "broken")

    class Broken(MemoryLoader):
        def __iter__(self):
            for number, batch in enumerate(super().__iter__()):
                if self.epoch == 1 and number == 2:
                    raise OSError("the disk is gone")
                yield batch

    broken = replace(broken, train_loader=Broken([raw_batch()] * 3))
    with pytest.raises(OSError, match="disk"):
        train_vocoder(broken)
    train_vocoder(in_memory(tmp_path / "broken"))
    ours, theirs = weights(tmp_path / "broken", 1), weights(whole, 1)
    assert all(ours[name] == theirs[name] for name in ("epoch", "step"))
    tensors = [name for name, one in ours.items() if isinstance(one, torch.Tensor)]
    assert all(ours[name].equal(theirs[name]) for name in tensors)


def test_checkpoints_within_an_epoch_do_not_change_what_is_learned(tmp_path: Path) -> None:
    plain = train_vocoder(in_memory(tmp_path / "plain"))
    often = train_vocoder(replace(in_memory(tmp_path / "often"), save_steps=2))
    ours, theirs = weights(often, 1), weights(plain, 1)
    assert all(torch.as_tensor(one).equal(torch.as_tensor(theirs[n])) for n, one in ours.items())
    assert (often / "epoch_0_step_2.pt").is_file()


def test_a_finished_run_does_nothing(tmp_path: Path, caplog) -> None:
    train_vocoder(in_memory(tmp_path, 1))
    before = (tmp_path / "epoch_0_whole.pt").stat().st_mtime_ns
    with caplog.at_level(logging.INFO):
        train_vocoder(in_memory(tmp_path, 1))
    assert "continuing" in caplog.text
    assert (tmp_path / "epoch_0_whole.pt").stat().st_mtime_ns == before


def test_data_that_do_not_fit_are_told_to_the_other_processes(tmp_path: Path) -> None:
    """They would wait for gradients of this process."""
    told: list[Any] = []

    class Watched(Processes):
        def gather(self, value: Any) -> list[Any]:
            told.append(value)
            return [value]

    run = in_memory(tmp_path)
    run.learner.processes = Watched()
    bad = {"speech_feat": raw_batch()["speech_feat"]}
    with pytest.raises(ValueError, match="pieces of recordings"):
        train_vocoder(replace(run, train_loader=MemoryLoader([bad])))
    assert told[-1] == -1


def test_an_epoch_without_a_batch_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an epoch has no batch"):
        train_vocoder(replace(in_memory(tmp_path), train_loader=MemoryLoader([])))
    assert not (tmp_path / "epoch_0_whole.pt").exists()


def test_a_run_that_stopped_after_the_last_batch_of_an_epoch_continues(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(vocoder_run, "SAVE_STEPS", 3)

    def killed(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(vocoder_run, "_evaluate", killed)
        train_vocoder(in_memory(tmp_path))
    train_vocoder(in_memory(tmp_path))
    assert [weights(tmp_path, epoch)["step"] for epoch in range(2)] == [3, 6]
