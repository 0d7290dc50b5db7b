"""Training of flows: what counts, what a continued run is, and what is learned instead."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sled.codec.flow.base import Flow, FlowBatch, SpeechFlow
from sled.codec.flow.files import load_flow
from sled.codec.flow.matching import prior_loss
from sled.codec.flow.simpletts import SimpleTTSFlow
from sled.training.checkpoints.integrity import find_last
from sled.training.epoch_arguments import EpochTrainingArguments
from sled.training.flow.batch import flow_batch
from sled.training.flow.objectives import Reflow
from sled.training.flow.trainer import FlowTrainer
from sled.training.optimizer import Adam
from sled.training.tokens.samples import Start
from tests.codec.flow.models import cosyvoice2_flow, random_tokens, simpletts_flow
from tests.debug import randn
from tests.training.flow import test_batch
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


def run(
    output: Path,
    parts: dict[str, Any] | None = None,
    flow: SpeechFlow | None = None,
    batches: list[dict[str, Any]] = BATCHES,
    **changes: Any,
) -> FlowTrainer:
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
        model=deepcopy(flow or simpletts_flow()),
        args=EpochTrainingArguments(**(settings | changes)),
        train_loader=MemoryLoader(batches),
        flags={},
        **(parts or {}),
    )
    torch.manual_seed(3)
    trainer.run(find_last(trainer.output_dir))
    return trainer


def run_encoded(output: Path, flow: SpeechFlow | None = None, **changes: Any) -> FlowTrainer:
    """Train a flow with an encoder on one batch; `parts` as of the trainer."""
    flow = flow or cosyvoice2_flow()
    return run(output, flow=flow, batches=[test_batch.raw_batch()], **changes)


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


def test_a_prior_loss_brings_the_encoder_nearer_to_the_mel_frames(tmp_path: Path) -> None:
    batch = flow_batch(test_batch.raw_batch(), cosyvoice2_flow())

    def distance(prior_steps: int) -> float:
        settings: dict[str, Any] = {"max_steps": 20, "lr_scheduler_type": "constant"}
        settings["learning_rate"] = 2e-3
        parts = {"prior_steps": prior_steps}
        flow = run_encoded(tmp_path / str(prior_steps), parts=parts, **settings).flow.eval()
        assert isinstance(flow, Flow)
        mu, mask = flow.batch_mu(batch, False)
        error = torch.nn.functional.mse_loss(mu * mask, batch.mel * mask)
        # As a mean over what is not padding.
        loss = prior_loss(mu, batch.mel, mask)
        torch.testing.assert_close(loss, error * mask.numel() / mask.sum())
        return float(loss.detach())

    assert distance(20) < 0.8 * distance(0)


def test_in_its_first_steps_the_encoder_learns_alone(tmp_path: Path) -> None:
    """Also in a run that was interrupted, and not where it goes on from a trained flow."""
    begun = cosyvoice2_flow()
    assert isinstance(begun, Flow)
    flow = begun
    saves = {"save_strategy": "steps", "save_steps": 1, "lr_scheduler_type": "constant"}
    for step in range(1, 4):
        before = flow.encoder_proj.weight, flow.output_layer.weight
        parts = {"prior_steps": 2}
        after = run_encoded(tmp_path, begun, parts=parts, max_steps=step, **saves).flow
        assert isinstance(after, Flow)
        assert not after.encoder_proj.weight.equal(before[0])
        assert after.output_layer.weight.equal(before[1]) == (step <= 2)
        flow = after
    parts = {"prior_steps": 2, "start": Start(step=2)}
    after = run_encoded(tmp_path / "more", begun, parts=parts, max_steps=1).flow
    assert not after.output_layer.weight.equal(begun.output_layer.weight)


def test_what_needs_an_encoder_tells_so(tmp_path: Path) -> None:
    teacher = cosyvoice2_flow()
    for parts, word in (({"prior_steps": 1}, "prior_steps"), ({"teacher": teacher}, "reflow")):
        with pytest.raises(ValueError, match=f"{word}: a .* has no encoder"):
            run(tmp_path, parts)


def test_reflow_learns_the_solutions_of_a_teacher_from_their_noise() -> None:
    """A teacher with constant velocity is learned: its paths are straight already."""
    teacher, flow = deepcopy(cosyvoice2_flow()), deepcopy(cosyvoice2_flow())
    batch = flow_batch(test_batch.raw_batch(), teacher)
    seen: list[Tensor] = []

    class Straight(type(teacher)):  # type: ignore[misc]
        def solve(self, noise, inputs, options, streaming=False, mask=None):
            seen.append(noise)
            return noise + 1.0  # velocity 1 everywhere

    teacher.__class__ = Straight

    def one_everywhere(x, time, inputs, mask, streaming=False):
        return torch.ones_like(x) * mask

    flow.estimate = one_everywhere  # type: ignore[method-assign]
    assert float(flow(batch, Reflow(teacher))) < 1e-9
    assert len(seen) == 1


@pytest.mark.parametrize("is_decoupled", [False, True])
def test_the_optimiser_of_a_configuration_is_used(is_decoupled: bool, tmp_path: Path) -> None:
    """All weights decay by it, also those that transformers leaves out."""
    adam = Adam(betas=(0.7, 0.9), eps=1e-6, weight_decay=0.1, is_decoupled=is_decoupled)
    optimizer = run(tmp_path, {"adam": adam}, max_steps=1).optimizer
    assert optimizer is not None
    [group] = optimizer.param_groups
    assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.7, 0.9), 1e-6, 0.1)
    unwrapped: Any = getattr(optimizer, "optimizer", optimizer)
    assert isinstance(unwrapped, torch.optim.AdamW) == is_decoupled
