"""Training of flows: from packed corpora, continued exactly, and to fewer steps."""

from __future__ import annotations

import copy
import io
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sled.codec.flow.base import Flow, FlowBatch
from sled.codec.flow.matching import SolverOptions, prior_loss
from sled.training.flow.batch import flow_batch, vocoder_batch
from sled.training.flow.learner import FlowLearner, FlowTraining
from tests.codec.flow.models import (
    cosyvoice2_flow,
    cosyvoice_flow,
    random_tokens,
    simpletts_flow,
)
from tests.debug import randn


def raw_batch() -> dict[str, Tensor]:
    """As `sled.data.tokens` makes it: of the second sample, a token is too many."""
    return {
        "speech_token": random_tokens(cosyvoice2_flow(), 2, 10, 0),
        "speech_token_len": torch.tensor([10, 8], dtype=torch.int32),
        "speech_feat": randn(2, 21, 80),
        "speech_feat_len": torch.tensor([21, 14], dtype=torch.int32),
        "embedding": randn(2, 16),
    }


def test_tokens_and_frames_are_cut_to_the_shorter_ones() -> None:
    batch = flow_batch(raw_batch(), cosyvoice2_flow())
    assert batch.num_tokens.tolist() == [10, 7]
    assert batch.num_frames.tolist() == [20, 14]
    assert batch.mel.shape == (2, 80, 20)
    assert batch.mel[0].equal(raw_batch()["speech_feat"][0, :20].T)
    assert (batch.mel[1, :, 14:] == 0).all()
    raw = raw_batch() | {"speech_token": raw_batch()["speech_token"] % 60}
    whole = flow_batch(raw, cosyvoice_flow())
    assert whole.num_tokens.tolist() == [10, 8]
    assert whole.num_frames.tolist() == [21, 14]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"embedding": None}, "no embedding"),
        ({"embedding": randn(2, 4)}, "speaker vector"),
        ({"speech_feat": randn(2, 21, 8)}, "mel bands"),
        ({"speech_token": torch.full((2, 10), 81)}, "the token 81"),
    ],
)
def test_batches_that_do_not_fit_are_refused(change, word) -> None:
    batch = {name: one for name, one in (raw_batch() | change).items() if one is not None}
    with pytest.raises(ValueError, match=word):
        flow_batch(batch, cosyvoice2_flow())


def test_vocoders_learn_from_pieces_of_recordings() -> None:
    with pytest.raises(ValueError, match="pieces of recordings"):
        vocoder_batch(raw_batch(), torch.device("cpu"))
    raw = raw_batch() | {"speech": randn(2, 100)}
    mel, waveform, pitch = vocoder_batch(raw, torch.device("cpu"))
    assert mel.shape == (2, 80, 21)
    assert waveform.shape == (2, 100)
    assert pitch is None


def new_learner(teacher: Flow | None = None) -> FlowLearner:
    flow = copy.deepcopy(cosyvoice2_flow())
    # Without dropout, so that only the generator is random.
    for module in flow.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    training = FlowTraining(learning_rate=2e-3, schedule=lambda step: 1 / (1 + step))
    solver = SolverOptions(steps=2)
    return FlowLearner(flow, training, torch.Generator().manual_seed(0), teacher, solver)


def test_a_continued_run_is_the_same() -> None:
    batches = [flow_batch(raw_batch(), cosyvoice2_flow())] * 2
    whole, interrupted, continued = new_learner(), new_learner(), new_learner()
    whole.train_batches(batches)
    figures = whole.train_batches(batches)
    assert figures.keys() == {"loss", "grad_norm"}
    interrupted.train_batches(batches)
    file = io.BytesIO()
    torch.save(interrupted.state_dict(), file)
    file.seek(0)
    continued.load_state_dict(torch.load(file, weights_only=True))
    assert continued.train_batches(batches) == figures
    pairs = zip(continued.flow.parameters(), whole.flow.parameters(), strict=True)
    assert all(ours.equal(theirs) for ours, theirs in pairs)


def test_a_prior_loss_brings_the_encoder_nearer_to_the_mel_frames() -> None:
    batch = flow_batch(raw_batch(), cosyvoice2_flow())

    def distance(prior_steps: int) -> float:
        learner = new_learner()
        learner.training = replace(learner.training, prior_steps=prior_steps, schedule=None)
        for _ in range(20):
            learner.train_batches([batch])
        flow = learner.flow
        assert isinstance(flow, Flow)
        mu, mask = flow.batch_mu(batch, False)
        error = torch.nn.functional.mse_loss(mu * mask, batch.mel * mask)
        # As a mean over what is not padding.
        loss = prior_loss(mu, batch.mel, mask)
        torch.testing.assert_close(loss, error * mask.numel() / mask.sum())
        return float(loss.detach())

    assert distance(20) < 0.8 * distance(0)


def test_in_its_first_steps_the_encoder_learns_alone() -> None:
    batch = flow_batch(raw_batch(), cosyvoice2_flow())
    learner = new_learner()
    learner.training = replace(learner.training, prior_steps=2)
    flow = learner.flow
    assert isinstance(flow, Flow)
    encoder, estimator = flow.encoder_proj.weight, flow.output_layer.weight
    for step in range(3):
        before = encoder.detach().clone(), estimator.detach().clone()
        learner.train_batches([batch])
        assert not encoder.equal(before[0])
        assert estimator.equal(before[1]) == (step < 2)


def test_a_prior_loss_needs_an_encoder() -> None:
    with pytest.raises(ValueError, match="has no encoder that it could teach"):
        FlowLearner(simpletts_flow(), FlowTraining(prior_steps=1), torch.Generator())


def test_reflow_learns_the_solutions_of_a_teacher_from_their_noise() -> None:
    """A teacher with constant velocity is learned: its paths are straight already."""
    teacher = copy.deepcopy(cosyvoice2_flow())
    batch = flow_batch(raw_batch(), teacher)
    seen: list[Tensor] = []

    class Straight(type(teacher)):  # type: ignore[misc]
        def solve(self, noise, inputs, options, streaming=False, mask=None):
            seen.append(noise)
            return noise + 1.0  # velocity 1 everywhere

    teacher.__class__ = Straight
    learner = new_learner(teacher)

    def one_everywhere(x, time, inputs, mask, streaming=False):
        return torch.ones_like(x) * mask

    learner.flow.estimate = one_everywhere  # type: ignore[method-assign]
    assert isinstance(batch, FlowBatch)
    assert float(learner.loss(batch)) < 1e-9
    assert len(seen) == 1
