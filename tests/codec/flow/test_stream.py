"""Flows as streams: however tokens are cut, the frames are those of the whole utterance."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from sled.codec.flow.attention import ChunkContext
from sled.codec.flow.base import FlowPrompt, fixed_noise, no_prompt
from sled.codec.flow.cosyvoice2 import CosyVoice2Flow
from sled.codec.flow.matching import SolverOptions, guided, solve
from sled.codec.flow.stream import FlowState, FlowStream
from sled.codec.memory import Memory
from tests.codec.encodec.test_streaming import cuts
from tests.codec.flow.models import (
    cosyvoice2_flow,
    random_prompt,
    random_tokens,
    step_flow,
    streamed,
)
from tests.debug import randn

FEW = SolverOptions(steps=2)


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).norm() / theirs.norm())


@settings(max_examples=15)
@given(
    sizes=cuts(12, 9),
    prompt=st.integers(0, 11),
    batch=st.integers(1, 2),
    guidance=st.sampled_from([0.0, 0.7]),
    seed=st.integers(0, 99),
)
@example(sizes=[1] * 23, prompt=7, batch=1, guidance=0.7, seed=0)
def test_pieces_are_the_whole(
    sizes: list[int], prompt: int, batch: int, guidance: float, seed: int
) -> None:
    flow, options = cosyvoice2_flow(), SolverOptions(steps=2, guidance=guidance)
    given_speech = random_prompt(flow, batch, prompt, seed)
    tokens = random_tokens(flow, batch, sum(sizes), seed)
    speaker = randn(batch, flow.speaker_size, seed=seed)
    state = FlowState.new(flow, given_speech)
    pieces = streamed(FlowStream(flow, options), state, tokens, sizes, speaker)
    whole = flow.generate(tokens, speaker, given_speech, options, streaming=True)
    assert relative_error(pieces, whole) < 1e-5


@settings(max_examples=6)
@given(sizes=cuts(40, 6), prompt=st.integers(0, 4), seed=st.integers(0, 99))
def test_cuts_make_no_difference_without_chunk_masks(
    sizes: list[int], prompt: int, seed: int
) -> None:
    """The flow of Step-Audio has chunks of different sizes; the first is the prompt."""
    flow = step_flow()
    given_speech = random_prompt(flow, 1, prompt, seed)
    tokens, speaker = random_tokens(flow, 1, sum(sizes), seed), randn(1, 16, seed=seed)
    stream, state = FlowStream(flow, FEW, 8), FlowState.new(flow, given_speech)
    pieces = streamed(stream, state, tokens, sizes, speaker)
    assert relative_error(pieces, streamed(stream, state, tokens, [sum(sizes)], speaker)) < 1e-5


@torch.no_grad()
def with_window(
    flow: CosyVoice2Flow, tokens: Tensor, speaker: Tensor, prompt: FlowPrompt, left: int
) -> Tensor:
    """The whole utterance, where frames see the prompt, their chunk, and `left` frames before it.

    The definition of a window, with a mask for each attention.
    """
    joined = torch.cat((prompt.tokens, tokens), 1)
    batch, count, first = *joined.shape, prompt.tokens.shape[1]

    def visible(rate: int) -> Tensor:
        chunk, position = rate * flow.chunk, torch.arange(rate * count)
        start = (position // chunk * chunk)[:, None]
        near = position >= start - left * rate // 2
        return ((position < start + chunk) & (near | (position < rate * first)))[None]

    encoder, whole = flow.encoder, Memory.of_whole()
    later = torch.zeros(batch, flow.lookahead, encoder.width)
    masks = (visible(1), visible(2))
    embedded = flow.embed_tokens(joined)
    states = encoder._run(embedded, later, torch.zeros(1).long(), whole, whole, masks)
    inputs = flow.solver_inputs(flow.encoder_proj(states).mT, speaker, prompt.mel).with_empty()
    mask = torch.ones(2 * batch, 1, 2 * count)

    def estimate(_: int, x: Tensor, time: Tensor) -> Tensor:
        context = ChunkContext(torch.arange(2 * count)[None], 0, x, masks[1], whole)
        return flow.estimator(x, time, inputs, mask, context, whole)

    noise = fixed_noise(80)[None, :, : 2 * count].expand(batch, -1, -1)
    return solve(guided(estimate, FEW), noise, FEW)[..., 2 * first :]


@pytest.mark.parametrize(("prompt", "left"), [(0, 10), (7, 20), (12, 10), (3, 0)])
def test_a_window_limits_what_is_seen_to_the_prompt_and_the_newest_frames(prompt, left):
    flow = cosyvoice2_flow()
    given_speech = random_prompt(flow, 2, prompt, 1)
    tokens, speaker = random_tokens(flow, 2, 40, 2), randn(2, 16)
    state = FlowState.new(flow, given_speech)
    pieces = streamed(FlowStream(flow, FEW, left), state, tokens, [9, 31], speaker)
    assert relative_error(pieces, with_window(flow, tokens, speaker, given_speech, left)) < 1e-5
    unlimited = flow.generate(tokens, speaker, given_speech, FEW, streaming=True)
    assert relative_error(pieces, unlimited) > 1e-3


@torch.no_grad()
def test_a_state_with_a_window_does_not_grow_and_rows_can_join_at_different_places():
    flow = cosyvoice2_flow()
    stream, speaker = FlowStream(flow, FEW, 10), randn(1, 16)
    tokens = random_tokens(flow, 1, 60, 3)
    states = [FlowState.new(flow, no_prompt(flow, 1))]
    mels = []
    for chunk in tokens.split(5, 1):
        mel, state = stream.feed(states[-1], chunk, speaker)
        mels.append(mel)
        states.append(state)
    sizes = [sum(one.numel() for layer in state.layers() for one in layer) for state in states]
    assert sizes[4] == sizes[-1]

    early, late = states[4], states[9]
    layers = [
        tuple(torch.cat(pair) for pair in zip(*pairs, strict=True))
        for pairs in zip(early.layers(), late.layers(), strict=True)
    ]
    both = FlowState.of_layers(torch.cat((early.tokens, late.tokens)), layers)
    pieces = torch.cat((tokens[:, 20:25], tokens[:, 45:50]))
    mel, _ = stream.feed(both, pieces, speaker.expand(2, -1))
    assert relative_error(mel, torch.cat((mels[4], mels[9]))) < 1e-5


def test_a_prompt_has_two_frames_for_each_token():
    flow = cosyvoice2_flow()
    prompt = random_prompt(flow, 1, 4, 0)
    with pytest.raises(ValueError, match="2 mel frames for each token"):
        FlowState.new(flow, FlowPrompt(prompt.tokens[:, :3], prompt.mel))
