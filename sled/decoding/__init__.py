"""Decoding: from text tokens to speech latents, one frame after the other."""

from sled.decoding.decoder import Decoder, Step
from sled.decoding.generate import Generated, generate
from sled.decoding.interface import FrameModel
from sled.decoding.options import DecodingOptions
from sled.decoding.text_tracker import PlaceKeeper
from sled.decoding.utterance import Request, Utterance, UtteranceState

__all__ = [
    "Decoder",
    "DecodingOptions",
    "FrameModel",
    "Generated",
    "PlaceKeeper",
    "Request",
    "Step",
    "Utterance",
    "UtteranceState",
    "generate",
]
