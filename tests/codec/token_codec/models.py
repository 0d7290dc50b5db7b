"""Tiny codecs of speech tokens."""

from __future__ import annotations

from functools import cache

from sled.codec.flow.files import load_flow
from sled.codec.flow.matching import SolverOptions
from sled.codec.token_codec.files import TokenNetworks
from sled.codec.token_codec.model import TokenCodec
from sled.codec.token_codec.settings import TokenCodecSettings
from sled.codec.vocoder.files import load_vocoder
from tests.codec.flow.models import RECORDED

SETTINGS = TokenCodecSettings(solver=SolverOptions(steps=2))
RATES = {"flow_v1": "22k", "flow_v2": "24k", "step_flow": "24k", "simple_dit": "22k"}


@cache
def token_codec(name: str = "flow_v2") -> TokenCodec:
    """A codec without an encoder; speaker vectors of 16."""
    return TokenCodec(token_networks(name))


def token_networks(name: str = "flow_v2") -> TokenNetworks:
    """Its parts, to be changed."""
    vocoder = load_vocoder(RECORDED / f"hift_{RATES[name]}")
    return TokenNetworks(load_flow(RECORDED / name), vocoder, SETTINGS)
