"""Decoding: from text tokens to units of speech, frame by frame."""

from sled.decoding.attention_tracker import AttentionTracker, make_tracker
from sled.decoding.decoder import Decoder
from sled.decoding.generate import Generated, generate
from sled.decoding.options import DecodingOptions
from sled.decoding.step import Step
from sled.decoding.text_tracker import TextTracker
from sled.decoding.utterance import Request, Utterance, UtteranceState

__all__ = [
    "Decoder",
    "DecodingOptions",
    "Generated",
    "Request",
    "Step",
    "AttentionTracker",
    "TextTracker",
    "make_tracker",
    "Utterance",
    "UtteranceState",
    "generate",
]
