"""Losses of flows, and generation by a flow that has learned one utterance."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from sled.codec.flow.base import FlowBatch, FlowPrompt, SpeechFlow, WholeFlow, no_prompt
from sled.codec.flow.cosyvoice2 import ChunkedFlow
from sled.codec.flow.matching import SolverOptions, solve
from sled.model.tokens.relative_attention import RelativeAttention
from tests.codec.flow.models import (
    cosyvoice2_flow,
    cosyvoice_flow,
    random_tokens,
    simpletts_flow,
    step_flow,
)
from tests.debug import randn

FLOWS = {
    "CosyVoice": (cosyvoice_flow, 17),
    "CosyVoice2": (cosyvoice2_flow, 20),
    "Step-Audio": (step_flow, 20),
    "SimpleTTS": (simpletts_flow, 34),
}


def one_batch(flow: SpeechFlow, frames: int) -> FlowBatch:
    """Two samples of 10 and 7 tokens."""
    lengths = torch.tensor([10, 7])
    mel = 0.5 * randn(2, 80, frames, seed=5)
    return FlowBatch(
        random_tokens(flow, 2, 10, 0), lengths, mel, lengths * frames // 10, randn(2, 16)
    )


@pytest.mark.parametrize("name", FLOWS)
def test_the_loss_falls_and_does_not_depend_on_padding(name: str) -> None:
    make, frames = FLOWS[name]
    flow = copy.deepcopy(make()).requires_grad_(True).train()
    batch = one_batch(flow, frames)
    optimizer = torch.optim.Adam(flow.parameters(), 3e-3)
    losses = []
    for step in range(8):
        loss = flow.loss(batch, torch.Generator().manual_seed(step % 2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] + losses[-2] < losses[0] + losses[1]

    flow.eval()
    other = copy.deepcopy(batch)
    other.mel[1, :, int(batch.num_frames[1]) :] += 1
    with torch.no_grad():
        pair = [float(flow.loss(one, torch.Generator().manual_seed(0))) for one in (batch, other)]
    assert pair[0] == pytest.approx(pair[1], rel=1e-5)


@pytest.mark.parametrize("name", FLOWS)
@torch.no_grad()
def test_a_speaker_vector_may_have_any_length(name: str) -> None:
    """In training its length is 1, and speaker encoders give vectors of any length."""
    make, frames = FLOWS[name]
    flow = make().eval()
    batch = one_batch(flow, frames)
    raw = replace(batch, speaker=20 * batch.speaker)
    one, other = (flow.loss(each, torch.Generator().manual_seed(0)) for each in (batch, raw))
    torch.testing.assert_close(one, other)
    prompt, solver = no_prompt(flow, 2), SolverOptions(steps=2)
    if isinstance(flow, ChunkedFlow):
        spoken = [flow.generate(b.tokens, b.speaker, prompt, solver) for b in (batch, raw)]
    else:
        assert isinstance(flow, WholeFlow)
        spoken = [flow.mel_of(b.tokens, b.speaker, prompt, solver) for b in (batch, raw)]
    torch.testing.assert_close(*spoken, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("make", [cosyvoice_flow, cosyvoice2_flow, step_flow])
@torch.no_grad()
def test_attention_of_encoders_has_dropout_in_training_alone(make) -> None:
    flow = make()
    flat = flow.to_dict()
    encoder = {name: one for name, one in flat["encoder"].items() if "dropout" not in name}
    usual = type(flow).from_dict(flat | {"encoder": encoder})  # a file of an earlier version
    rates = {one.dropout.p for one in usual.modules() if isinstance(one, RelativeAttention)}
    assert rates == {0.1}  # as published

    # Where nothing else is dropped, attention is.
    encoder |= {"dropout_rate": 0.0, "attention_dropout_rate": 0.3}
    flow = type(flow).from_dict(flat | {"encoder": encoder})
    assert flow.to_dict()["encoder"]["attention_dropout_rate"] == 0.3
    batch = one_batch(flow, 17 if make is cosyvoice_flow else 20)

    def mus(training: bool) -> list[torch.Tensor]:
        flow.train(training)
        torch.manual_seed(0)
        return [flow.batch_mu(batch, streaming)[0] for streaming in (False, True) for _ in "ab"]

    one, again, *streamed = mus(training=True)
    assert not one.allclose(again, atol=1e-4)
    assert not streamed[0].allclose(streamed[1], atol=1e-4)
    one, again, *_ = mus(training=False)
    assert one.equal(again)


@pytest.mark.parametrize("steps", [1, 4, 10])
@pytest.mark.parametrize("schedule", ["cosine", "uniform"])
def test_a_straight_path_is_followed_to_its_end_in_any_number_of_steps(steps, schedule):
    noise, mel = randn(1, 80, 5), randn(1, 80, 5, seed=1)
    options = SolverOptions(steps=steps, schedule=schedule, guidance=0.0)
    found = solve(lambda _, __, ___: mel - noise, noise, options)
    assert torch.allclose(found, mel, atol=1e-5)


@pytest.mark.parametrize("make", [cosyvoice_flow, simpletts_flow])
def test_whole_utterances_depend_on_prompt_speaker_and_guidance(make) -> None:
    flow: WholeFlow = make()
    tokens, speaker = random_tokens(flow, 1, 25, 0), randn(1, 16)
    prompt = FlowPrompt(random_tokens(flow, 1, 10, 1), randn(1, 80, 17))
    none = FlowPrompt(prompt.tokens[:, :0], prompt.mel[..., :0])
    options = SolverOptions(steps=2, guidance=0.0)
    usual = flow.mel_of(tokens, speaker, prompt, options)
    assert usual.shape == (1, 80, int(25 / flow.token_rate * 22_050 / 256))
    for others in (
        (tokens, speaker, none, options),
        (tokens, -speaker, prompt, options),
        (tokens, speaker, prompt, SolverOptions(steps=2)),
    ):
        other = flow.mel_of(*others)
        assert other.shape == usual.shape
        assert (other - usual).norm() > 1e-4 * usual.norm()
