"""Training of flows by steps: what counts, and what a continued run is."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sled.codec.flow.base import FlowBatch
from sled.codec.flow.files import load_flow
from sled.codec.flow.simpletts import SimpleTTSFlow
from sled.training.checkpoints.integrity import find_last
from sled.training.epoch_arguments import EpochTrainingArguments
from sled.training.flow.trainer import FlowTrainer
from tests.codec.flow.models import random_tokens, simpletts_flow
from tests.debug import randn
from tests.training.tokens.runs import MemoryLoader


def raw_batch(seed: int, frames: tuple[int, ...]) -> dict[str, Any]:
    """Samples of so many frames, of which there are 3.4 for a token."""
    tokens = [round(one / 3.4) for one in frames]
    return {
        "utts": [f"utt{seed}_{row}" for row in range(len(frames))],
        "speech_token": random_tokens(simpletts_flow(), len(frames), max(tokens), seed),
        "speech_token_len": torch.tensor(tokens, dtype=torch.int32),
        "speech_feat": randn(len(frames), max(frames), 80, seed=seed),
        "speech_feat_len": torch.tensor(frames, dtype=torch.int32),
        "embedding": randn(len(frames), 16, seed=seed),
    }


BATCHES = [raw_batch(1, (34, 20)), raw_batch(2, (17,)), raw_batch(3, (27, 27, 24))]


def run(output: Path, parts: dict[str, Any] | None = None, **changes: Any) -> FlowTrainer:
    """Train a copy of the tiny flow, from the last checkpoint if there is one."""
    settings: dict[str, Any] = {
        "output_dir": str(output),
        "max_steps": 6,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
    }
    trainer = FlowTrainer(
        model=deepcopy(simpletts_flow()),
        args=EpochTrainingArguments(**(settings | changes)),
        train_loader=MemoryLoader(BATCHES),
        flags={},
        **(parts or {}),
    )
    torch.manual_seed(3)
    trainer.run(find_last(trainer.output_dir))
    return trainer


def logged(trainer: FlowTrainer, key: str) -> list[float]:
    return [entry[key] for entry in trainer.state.log_history if key in entry]


def test_a_continued_run_is_that_without_interruption(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"save_strategy": "steps", "save_steps": 1, "ema_decay": 0.5}
    settings |= {"gradient_accumulation_steps": 2, "lr_scheduler_type": "constant"}
    whole = run(tmp_path / "whole", **settings)
    for steps in (1, 4, 6):  # one run ends within an epoch, one with its last batch
        part = run(tmp_path / "parts", **(settings | {"max_steps": steps}))
    pairs = zip(part.flow.parameters(), whole.flow.parameters(), strict=True)
    assert all(ours.equal(theirs) for ours, theirs in pairs)
    assert logged(part, "loss") == logged(whole, "loss")
    stored = load_flow(tmp_path / "parts" / "checkpoint-6").state_dict()
    assert all(one.equal(stored[name]) for name, one in part.flow.state_dict().items())


def test_all_frames_of_a_step_count_alike(tmp_path: Path, monkeypatch) -> None:
    """The loss of a flow is a mean over frames; here, that of a batch is its number of samples."""

    def samples(flow: SimpleTTSFlow, batch: FlowBatch, generator: Any = None) -> Tensor:
        return len(batch.mel) + 0.0 * flow.to_mels.bias.sum()

    monkeypatch.setattr(type(simpletts_flow()), "loss", samples)
    evaluated = {"eval_loader": MemoryLoader(BATCHES), "eval_dataset": ["all"]}
    settings: dict[str, Any] = {"max_steps": 1, "gradient_accumulation_steps": 3}
    trainer = run(tmp_path, evaluated, **settings, eval_strategy="steps", eval_steps=1)
    expected = (2 * 54 + 1 * 17 + 3 * 78) / (54 + 17 + 78)
    assert logged(trainer, "loss") == pytest.approx([expected])
    assert logged(trainer, "eval_loss") == pytest.approx([expected])


def test_recomputed_states_change_nothing(tmp_path: Path) -> None:
    plain = run(tmp_path / "plain", max_steps=2)
    recomputed = run(tmp_path / "recomputed", max_steps=2, gradient_checkpointing=True)
    assert logged(recomputed, "loss") == logged(plain, "loss")
