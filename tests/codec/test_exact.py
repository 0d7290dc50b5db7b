"""Codecs on a device without float64 speak as on the CPU."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sled.codec import Codec, SpectralCodec, StreamState
from sled.codec.exact import exact, exact_device
from sled.codec.token_codec.model import PROMPT_MEL, PROMPT_TOKENS, SPEAKER, TokenCodec
from tests.codec.flow.models import random_tokens
from tests.codec.spectral.models import tiny_spectral
from tests.codec.token_codec.models import RATES, token_networks
from tests.debug import randn
from tests.no_float64 import device_without_float64

CODECS: dict[str, Callable[[str], Codec]] = {
    name: lambda device, name=name: TokenCodec(token_networks(name), device) for name in RATES
} | {"spectral": lambda device: SpectralCodec(tiny_spectral(), device)}


def speech_for(codec: Codec) -> tuple[Tensor, dict[str, Tensor]]:
    """Units of two utterances, and what they are conditioned on."""
    if not isinstance(codec, TokenCodec):
        return randn(2, 30, *codec.unit_shape), {}
    flow = codec.networks.flow
    prompt = {PROMPT_TOKENS: random_tokens(flow, 2, 5, 1), PROMPT_MEL: randn(2, 80, 10)}
    return random_tokens(flow, 2, 30, 0), {SPEAKER: randn(2, 16)} | prompt


@pytest.mark.parametrize("name", CODECS)
def test_speech_is_that_of_the_cpu(name: str) -> None:
    codec = CODECS[name]("cpu")
    units, conditions = speech_for(codec)
    whole = codec.decode(units, conditions)
    with device_without_float64() as device:
        there = CODECS[name](device)
        assert there.decode(units, conditions).device.type == device
        first, second = (
            there.stream_decoder(1, {key: one[row : row + 1] for key, one in conditions.items()})
            for row in range(2)
        )
        pieces = [torch.cat([first.decode(units[:1, :20]), second.decode(units[1:, :20])])]
        both = there.stream_decoder(2, conditions)
        both.state = StreamState.cat([first.state, second.state]).clone()
        pieces += [both.decode(units[:, 20:]), both.finish()]
        streamed = torch.cat(pieces, -1).cpu()
    # Rounding errors of frequencies add up in the phases.
    assert (streamed - whole).norm() < 1e-2 * whole.norm()


@pytest.mark.parametrize("name", ["flow_v1", "flow_v2", "spectral"])
def test_the_stand_in_has_no_float64(name: str) -> None:
    speech = speech_for(CODECS[name]("cpu"))
    problem = pytest.raises(TypeError, match="no float64")
    with device_without_float64(known=False) as device, problem:
        CODECS[name](device).decode(*speech)


def test_float64_is_computed_on_the_device_if_it_has_it() -> None:
    assert exact_device(torch.device("mps")) == torch.device("cpu")
    for name in ("cpu", "cuda:1"):
        assert exact_device(torch.device(name)) == torch.device(name)
    assert exact(torch.ones(2)).dtype == torch.float64
