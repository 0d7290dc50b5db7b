"""Flows that see whole utterances decode each segment by itself; the vocoder goes on."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sled.codec import StreamState
from sled.codec.flow.base import FlowPrompt, WholeFlow, no_prompt
from sled.codec.token_codec.model import PROMPT_MEL, PROMPT_TOKENS, SPEAKER, TokenCodec
from tests.codec.flow.models import random_tokens
from tests.codec.token_codec.models import SETTINGS, token_codec
from tests.debug import randn

whole_flows = pytest.mark.parametrize("name", ["flow_v1", "simple_dit"])


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).norm() / theirs.norm())


def flow_of(codec: TokenCodec) -> WholeFlow:
    flow = codec.networks.flow
    assert isinstance(flow, WholeFlow)
    return flow


def say(
    codec: TokenCodec, segments: list[Tensor], conditions: dict[str, Tensor] | None = None
) -> list[Tensor]:
    """The samples that come with each segment, and those at the end."""
    stream = codec.stream_decoder(len(segments[0]), conditions)
    pieces = []
    for units in segments:
        fed = [stream.decode(piece) for piece in units.split(9, 1)]
        assert sum(one.shape[1] for one in fed) == 0
        pieces.append(stream.end_segment())
    return [*pieces, stream.finish()]


@whole_flows
@pytest.mark.parametrize("has_prompt", [False, True])
def test_each_segment_is_solved_alone_and_the_vocoder_has_no_seam(
    name: str, has_prompt: bool
) -> None:
    codec = token_codec(name)
    flow, speaker, hop = flow_of(codec), randn(2, 16), codec.networks.vocoder.hop_length
    segments = [random_tokens(flow, 2, count, count) for count in (31, 50, 3, 44)]
    prompt, conditions = no_prompt(flow, 2), {SPEAKER: speaker}
    if has_prompt:
        prompt = FlowPrompt(random_tokens(flow, 2, 8, 5), randn(2, 80, 17))
        conditions |= {PROMPT_TOKENS: prompt.tokens, PROMPT_MEL: prompt.mel}
    frames, made, total = [], 0, 0
    for units in segments:
        mel = flow.mel_of(units, speaker, prompt, SETTINGS.solver)
        total += units.shape[1] * codec.hop_length
        made += mel.shape[-1]
        held = total // hop - made  # frames and tokens have rates without a common divisor
        assert held in (0, 1)
        frames += [mel, mel[..., -1:].expand(-1, -1, held)]
        made += held
    wanted, _ = codec.networks.vocoder(torch.cat(frames, -1))
    *pieces, rest = say(codec, segments, conditions)
    assert pieces[0].shape[1] > 0 and rest.shape[1] > 0
    spoken = torch.cat((*pieces, rest), 1)
    assert spoken.shape[1] == total
    assert relative_error(spoken[:, : wanted.shape[1]], wanted) < 1e-5
    assert not spoken[:, wanted.shape[1] :].any()


@whole_flows
@settings(max_examples=8, deadline=None)
@given(counts=st.lists(st.integers(0, 30), min_size=1, max_size=6))
def test_samples_stay_with_the_tokens(name: str, counts: list[int]) -> None:
    """However many segments there are, so that pauses and marks are where they belong."""
    codec = token_codec(name)
    vocoder = codec.networks.vocoder
    behind = (vocoder.lookahead_frames + 1) * vocoder.hop_length
    segments = [random_tokens(flow_of(codec), 1, count, 1) for count in counts]
    *pieces, rest = say(codec, segments)
    made = expected = 0
    for count, piece in zip(counts, pieces, strict=True):
        made, expected = made + piece.shape[1], expected + count * codec.hop_length
        assert expected - behind <= made <= expected
    assert made + rest.shape[1] == expected


@whole_flows
def test_one_segment_is_the_whole(name: str) -> None:
    codec = token_codec(name)
    units = random_tokens(flow_of(codec), 2, 40, 0)
    assert relative_error(torch.cat(say(codec, [units]), 1), codec.decode(units)) < 1e-5


@whole_flows
def test_a_segment_costs_the_same_wherever_it_is(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = token_codec(name)
    flow = flow_of(codec)
    solved, mel_of = list[int](), type(flow).mel_of

    def count(self: WholeFlow, tokens: Tensor, *others: object) -> Tensor:
        solved.append(tokens.shape[1])
        return mel_of(self, tokens, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(type(flow), "mel_of", count)
    stream, sizes = codec.stream_decoder(), list[int]()
    for _ in range(4):
        stream.decode(random_tokens(flow, 1, 25, 0))
        stream.end_segment()
        sizes.append(sum(tensor.numel() for tensor in stream.state.tensors()))
    assert solved == [25] * 4
    assert sizes[3] <= sizes[1] + codec.networks.vocoder.hop_length  # samples that are missing


@whole_flows
def test_a_state_can_be_kept_and_joined(name: str) -> None:
    codec = token_codec(name)
    flow = flow_of(codec)
    first, second = random_tokens(flow, 2, 32, 1), random_tokens(flow, 2, 20, 2)
    speaker = randn(2, 16)
    states = []
    for row in range(2):
        stream = codec.stream_decoder(1, {SPEAKER: speaker[row : row + 1]})
        stream.decode(first[row : row + 1])
        stream.end_segment()
        states.append(stream.state)
    both = codec.stream_decoder(2, {SPEAKER: speaker})
    both.state = StreamState.cat(states)
    both.decode(second)
    joined = torch.cat((both.end_segment(), both.finish()), 1)
    whole = torch.cat(say(codec, [first, second], {SPEAKER: speaker}), 1)
    # Rounding errors of frequencies add up in the phases.
    assert relative_error(joined, whole[:, -joined.shape[1] :]) < 1e-2


@pytest.mark.parametrize("name", ["flow_v2", "step_flow"])
def test_a_flow_in_chunks_takes_no_note_of_segments(name: str) -> None:
    codec = token_codec(name)
    units = random_tokens(codec.networks.flow, 2, 70, 0)
    stream, pieces = codec.stream_decoder(2), []
    assert not stream.by_segment
    for piece in units.split(33, 1):
        pieces += [stream.decode(piece), stream.end_segment()]
    spoken = torch.cat((*pieces, stream.finish()), 1)
    assert relative_error(spoken, codec.decode(units)) < 1e-5
