"""Vocoders of the recordings: tiny, with random weights."""

from __future__ import annotations

from functools import cache

from sled.codec.vocoder.files import load_vocoder
from sled.codec.vocoder.hift import HiFT
from tests.codec.flow.models import RECORDED

RATES = ("22k", "24k")


@cache
def tiny_vocoder(rate: str) -> HiFT:
    """A vocoder of this sample rate, as used for inference."""
    vocoder = load_vocoder(RECORDED / f"hift_{rate}").for_inference()
    assert isinstance(vocoder, HiFT)
    return vocoder
