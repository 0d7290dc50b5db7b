"""CosyVoice's command trains a flow, and a run that is started again continues."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from sled.codec.flow.cosyvoice2 import CosyVoice2Flow, CosyVoice2FlowSizes
from sled.codec.flow.encoder import UpsamplingSizes
from sled.codec.flow.files import load_flow
from sled.codec.flow.unet import UNetSizes
from sled.training import epoch_run
from sled.training.epoch_run import EpochRun, train_epochs
from sled.training.flow.learner import FlowLearner, FlowTraining
from sled.training.tokens.average import main as average
from sled.training.tokens.cosyvoice_flags import train_published
from tests.data.tokens.corpora import WIDTH
from tests.training.flow.test_learner import raw_batch
from tests.training.tokens.published import make_setting, published_flags
from tests.training.tokens.runs import MemoryLoader


def new_flow(speaker_size: int = WIDTH, vocab_size: int = 6561) -> CosyVoice2Flow:
    """A flow for the tiny corpora; with as many heads as published ones have."""
    torch.manual_seed(0)
    encoder = UpsamplingSizes(
        input_size=16,
        output_size=16,
        attention_heads=4,
        linear_units=24,
        num_blocks=1,
        num_up_blocks=1,
    )
    estimator = UNetSizes(
        channels=(24,), attention_head_dim=3, num_heads=8, n_blocks=1, num_mid_blocks=1
    )
    return CosyVoice2Flow(
        CosyVoice2FlowSizes(
            vocab_size=vocab_size,
            input_size=16,
            spk_embed_dim=speaker_size,
            encoder=encoder,
            estimator=estimator,
        )
    )


def test_the_published_command_trains_a_flow(tmp_path: Path, capsys) -> None:
    setting = make_setting(tmp_path / "setting")
    start = tmp_path / "flow.pt"
    torch.save(new_flow().state_dict(), start)
    flags = published_flags(setting, tmp_path / "run", model="flow", checkpoint=start)
    output = train_published(flags)
    records = [yaml.safe_load((output / f"epoch_{n}_whole.yaml").read_text()) for n in range(2)]
    assert records[1]["loss_dict"]["loss"] < records[0]["loss_dict"]["loss"]
    assert records[1]["step"] > records[0]["step"] > 0
    averaged = tmp_path / "averaged.pt"
    average(["--dst_model", str(averaged), "--src_path", str(output), "--num", "2", "--val_best"])
    assert isinstance(load_flow(averaged), CosyVoice2Flow)
    taught = [*map(str, published_flags(setting, tmp_path / "taught", model="flow"))]
    taught += ["--checkpoint", str(start), "--teacher", str(averaged)]
    state = load_flow(train_published(taught) / "epoch_1_whole.pt").state_dict()
    recorded = load_flow(output / "epoch_1_whole.pt").state_dict()
    assert any(not one.equal(recorded[name]) for name, one in state.items())
    with pytest.raises(ValueError, match="--checkpoint"):
        train_published(published_flags(setting, tmp_path / "none", model="flow"))
    with pytest.raises(ValueError, match="--model hifigan begins"):
        train_published(published_flags(setting, tmp_path / "none", model="hifigan"))


def in_memory(folder: Path, max_epochs: int = 2) -> EpochRun:
    generator = torch.Generator().manual_seed(0)
    batches = [raw_batch()] * 3
    return EpochRun(
        learner=FlowLearner(new_flow(16, 81), FlowTraining(learning_rate=1e-3), generator),
        train_loader=MemoryLoader(batches),
        eval_loader=MemoryLoader(batches[:1]),
        folder=folder,
        max_epochs=max_epochs,
        record={"setting": 1},
    )


def weights(folder: Path, epoch: int) -> dict[str, torch.Tensor]:
    return torch.load(folder / f"epoch_{epoch}_whole.pt", weights_only=True)


def test_an_interrupted_run_continues_as_if_it_had_not_been(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(epoch_run, "SAVE_STEPS", 2)
    whole = train_epochs(in_memory(tmp_path / "whole"))
    broken = in_memory(tmp_path / "broken")

    class Broken(MemoryLoader):
        def __iter__(self):
            for number, batch in enumerate(super().__iter__()):
                if self.epoch == 1 and number == 2:
                    raise OSError("the disk is gone")
                yield batch

    broken = replace(broken, train_loader=Broken([raw_batch()] * 3))
    with pytest.raises(OSError, match="disk"):
        train_epochs(broken)
    train_epochs(in_memory(tmp_path / "broken"))
    ours, theirs = weights(tmp_path / "broken", 1), weights(whole, 1)
    assert all(ours[name] == theirs[name] for name in ("epoch", "step"))
    tensors = [name for name, one in ours.items() if isinstance(one, torch.Tensor)]
    assert all(ours[name].equal(theirs[name]) for name in tensors)


def test_a_finished_run_does_nothing(tmp_path: Path, caplog) -> None:
    train_epochs(in_memory(tmp_path, 1))
    before = (tmp_path / "epoch_0_whole.pt").stat().st_mtime_ns
    with caplog.at_level(logging.INFO):
        train_epochs(in_memory(tmp_path, 1))
    assert "continuing" in caplog.text
    assert (tmp_path / "epoch_0_whole.pt").stat().st_mtime_ns == before
