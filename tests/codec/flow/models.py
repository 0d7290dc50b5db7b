"""Flows of the recordings: tiny, with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from sled.codec.flow.base import FlowPrompt, SpeechFlow
from sled.codec.flow.cosyvoice import CosyVoiceFlow
from sled.codec.flow.cosyvoice2 import ChunkedFlow, CosyVoice2Flow
from sled.codec.flow.files import load_flow
from sled.codec.flow.simpletts import SimpleTTSFlow
from sled.codec.flow.step import StepFlow
from sled.codec.flow.stream import FlowState, FlowStream
from tests.debug import GOLDENS, randn

RECORDED = GOLDENS / "token-flow"


@cache
def cosyvoice2_flow() -> CosyVoice2Flow:
    """Chunks of 5 tokens, 81 ids, speaker vectors of 16."""
    flow = load_flow(RECORDED / "flow_v2")
    assert isinstance(flow, CosyVoice2Flow)
    return flow


@cache
def step_flow() -> StepFlow:
    """Chunks of 15, 24, 48 ... rows."""
    flow = load_flow(RECORDED / "step_flow")
    assert isinstance(flow, StepFlow)
    return flow


@cache
def cosyvoice_flow() -> CosyVoiceFlow:
    """50 tokens a second, 60 ids, speaker vectors of 16."""
    flow = load_flow(RECORDED / "flow_v1")
    assert isinstance(flow, CosyVoiceFlow)
    return flow


@cache
def simpletts_flow() -> SimpleTTSFlow:
    """25 tokens a second, 64 ids, speaker vectors of 16."""
    flow = load_flow(RECORDED / "simple_dit")
    assert isinstance(flow, SimpleTTSFlow)
    return flow


def random_tokens(flow: SpeechFlow, batch: int, count: int, seed: int) -> Tensor:
    """Any tokens."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, count, *flow.token_shape)
    return torch.randint(flow.vocab_size, shape, generator=generator)


def random_prompt(flow: ChunkedFlow, batch: int, count: int, seed: int) -> FlowPrompt:
    """A prompt of so many tokens."""
    mel = randn(batch, flow.num_mels, 2 * count, seed=seed)
    return FlowPrompt(random_tokens(flow, batch, count, seed + 1), mel)


@torch.no_grad()
def streamed(
    stream: FlowStream, state: FlowState, tokens: Tensor, sizes: Sequence[int], speaker: Tensor
) -> Tensor:
    """The mel frames of tokens that come in pieces of these sizes."""
    mels = []
    for piece in tokens.split(list(sizes), 1):
        mel, state = stream.feed(state, piece, speaker)
        mels.append(mel)
    mel, _ = stream.feed(state, tokens[:, :0], speaker, last=True)
    return torch.cat((*mels, mel), -1)
