"""Sessions of models that stop too early, never stop, or fall silent."""

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sled.decoding import DecodingOptions
from sled.speech import Speech, speak_whole
from sled.streaming.audio_stage import AudioStage, UnitChunk
from sled.tts import TTS
from tests.debug import (
    HOP,
    LAYOUT_IDS,
    LAYOUTS,
    SAMPLE_RATE,
    STREAM,
    debug_codec,
    debug_model,
    debug_tokenizer,
)

TEXT = "four two seven one nine"
NUM_TOKENS = len(debug_tokenizer().encode(TEXT))
both_layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)


def misbehaving(stops: Callable[[int], bool], **changes: object) -> TTS:
    """A voice that stops whenever `stops` says so, given the number of decisions before."""
    model = debug_model(**({"max_position_embeddings": 400} | changes))
    decisions = []

    def stop_probability(hidden: Tensor) -> Tensor:
        decisions.append(None)
        return torch.full(hidden.shape[:-1], float(stops(len(decisions) - 1)))

    model.stop_probability = stop_probability
    return TTS(model, debug_tokenizer(), debug_codec())


def silence_codec(monkeypatch: pytest.MonkeyPatch, after_s: float) -> None:
    """Let the codec's streams fall silent."""
    original = AudioStage.accept
    heard: weakref.WeakKeyDictionary[AudioStage, int] = weakref.WeakKeyDictionary()

    def accept(self: AudioStage, decoded: Tensor, chunk: UnitChunk) -> None:
        start = heard.get(self, 0)
        heard[self] = start + len(decoded)
        audible = torch.arange(start, heard[self]) < after_s * SAMPLE_RATE
        original(self, decoded * audible, chunk)

    monkeypatch.setattr(AudioStage, "accept", accept)


@both_layouts
def test_a_stop_long_before_the_training_data_would_is_not_obeyed(layout):
    limits = {"min_frames_per_token": 3.0, "max_frames_per_token": 20.0}
    eager = misbehaving(lambda _: True, **layout, **limits)
    spoken = eager.say(TEXT, options=DecodingOptions(length_tolerance=1.5))
    assert len(spoken.units) == int(np.ceil(NUM_TOKENS * 3 / 1.5))
    free = eager.say(TEXT, options=DecodingOptions(length_tolerance=None, min_frames=1))
    assert len(free.units) < len(spoken.units)


@both_layouts
def test_speech_far_beyond_the_training_data_is_cut(layout):
    limits = {"min_frames_per_token": 1.0, "max_frames_per_token": 6.0}
    endless = misbehaving(lambda _: False, **layout, **limits)
    spoken = endless.say(TEXT)
    assert not spoken.stopped
    assert len(spoken.units) == int(np.ceil(NUM_TOKENS * 6 * 1.5))


def test_what_went_wrong_is_drawn_again_a_bounded_number_of_times():
    """The first two attempts never stop: they are cut where the positions end."""
    options, positions = DecodingOptions(), 240
    frames_to_the_end = positions - NUM_TOKENS
    for max_redraws, stopped in ((0, False), (1, False), (2, True)):
        tts = misbehaving(
            lambda n: n >= 2 * frames_to_the_end + 40, max_position_embeddings=positions
        )
        spoken = tts.synthesize([TEXT], max_redraws=max_redraws, options=options)[0]
        assert spoken.stopped == stopped
        assert len(spoken.units) == (40 if stopped else frames_to_the_end)


def test_only_what_went_wrong_is_drawn_again(monkeypatch):
    """Both are spoken at once; the second of the two never stops at the first attempt."""
    tts, attempts = misbehaving(lambda n: n > 400), []

    def speak(engine: Any, tokenizer: Any, texts: list[str], *rest: Any) -> list[Speech]:
        attempts.append(list(texts))
        spoken = speak_whole(engine, tokenizer, texts, *rest)
        return [
            replace(one, stopped=text != "one two") for one, text in zip(spoken, texts, strict=True)
        ]

    monkeypatch.setattr("sled.speech.speak_whole", speak)
    tts.synthesize([TEXT, "one two"], max_redraws=2)
    assert attempts == [[TEXT, "one two"], ["one two"], ["one two"]]


def test_speech_that_falls_silent_is_drawn_again(monkeypatch):
    """Every attempt falls silent: each is tried, and the last is what there is."""
    silence_codec(monkeypatch, after_s=0.1)
    tts = misbehaving(lambda n: n % 240 == 239)
    attempts = []

    def speak(*arguments: Any) -> list[Speech]:
        attempts.append(arguments)
        return speak_whole(*arguments)

    monkeypatch.setattr("sled.speech.speak_whole", speak)
    tts.synthesize([TEXT], max_redraws=2)
    assert len(attempts) == 3


@both_layouts
def test_a_session_ends_a_segment_that_has_fallen_silent(layout, monkeypatch):
    silence_codec(monkeypatch, after_s=0.2)
    tts = misbehaving(lambda _: False, **layout, max_position_embeddings=1024)
    with tts.open_session(max_silence_s=0.5) as session:
        session.feed(TEXT)
        session.flush()
        audio = np.concatenate(list(session))
    # The cut takes effect between two steps, while the model is at work.
    assert 0.6 * SAMPLE_RATE < len(audio) < 900 * HOP


def test_silence_at_the_end_is_left_out_if_asked(monkeypatch):
    silence_codec(monkeypatch, after_s=0.2)
    tts = misbehaving(lambda n: n == 120, **STREAM)
    whole, trimmed = (
        tts.synthesize([TEXT], trim_tail=trim, options=DecodingOptions(max_frames=100))[0].audio
        for trim in (False, True)
    )
    assert len(whole) == 100 * HOP
    assert 0.2 * SAMPLE_RATE <= len(trimmed) < 0.5 * SAMPLE_RATE
    np.testing.assert_allclose(trimmed, whole[: len(trimmed)], atol=1e-5)
