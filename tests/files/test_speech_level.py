"""Speech is found between silence or noise, measured, and given another level."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sled.files.speech_level import (
    SpeechLevel,
    find_speech,
    measure_speech,
    with_level,
    without_offset,
)

RATE = 24_000
WINDOW = RATE // 100
LEVEL = SpeechLevel(level_db=-25.0, lead_s=0.1, tail_s=0.15)


def speech(lead_s: float = 0.0, seconds: float = 0.5, tail_s: float = 0.0) -> np.ndarray:
    """A tone with an amplitude of 1, between silence."""
    tone = np.sin(np.arange(round(seconds * RATE)))
    margins = (round(lead_s * RATE), round(tail_s * RATE))
    return np.pad(tone, margins).astype(np.float32)


@given(
    lead_s=st.floats(0, 0.5),
    tail_s=st.floats(0, 0.5),
    loudness=st.floats(1e-3, 1.0),
    noise_db=st.sampled_from([-80.0, -45.0, -38.0]),
)
@settings(max_examples=40, deadline=None)
def test_speech_is_found_to_a_window_in_silence_and_in_noise(lead_s, tail_s, loudness, noise_db):
    waveform = speech(lead_s, 0.5, tail_s)
    noise = np.random.default_rng(0).normal(size=len(waveform)) * 10 ** (noise_db / 20)
    waveform = (loudness * (waveform + noise)).astype(np.float32)
    start, end = find_speech(waveform, RATE)
    if noise_db > -40 and lead_s + tail_s < 0.05:
        return  # there is hardly any noise alone, by which to know it
    assert abs(start - lead_s * RATE) <= WINDOW
    assert abs(end - (lead_s + 0.5) * RATE) <= WINDOW


@given(
    lead_s=st.floats(0, 0.5), tail_s=st.floats(0, 0.5), peak=st.sampled_from([1e-3, 0.05, 0.4, 30])
)
@settings(max_examples=30, deadline=None)
def test_any_level_becomes_the_one_asked_for_with_its_silence(lead_s, tail_s, peak):
    levelled = with_level(peak * speech(lead_s, 0.5, tail_s), RATE, LEVEL)
    measured = measure_speech(levelled, RATE)
    assert levelled.dtype == np.float32
    assert measured.level_db == pytest.approx(LEVEL.level_db, abs=0.2)
    assert measured.lead_s == pytest.approx(LEVEL.lead_s, abs=0.011)
    assert measured.tail_s == pytest.approx(LEVEL.tail_s, abs=0.011)


def test_the_silence_of_a_recording_is_kept_as_far_as_it_is_asked_for():
    noise = 1e-4 * np.random.default_rng(0).normal(size=RATE).astype(np.float32)
    waveform = np.concatenate([noise, speech(), noise])
    levelled = with_level(waveform, RATE, LEVEL)
    kept = waveform[RATE - round(0.1 * RATE) : RATE + round(0.65 * RATE)]
    np.testing.assert_allclose(levelled / levelled.max(), kept / kept.max(), atol=1e-4)


@pytest.mark.parametrize("waveform", [np.zeros(0), np.zeros(RATE), np.zeros(10)])
def test_silence_has_no_speech(waveform):
    assert find_speech(waveform, RATE) is None and measure_speech(waveform, RATE) is None
    with pytest.raises(ValueError, match="no speech"):
        with_level(waveform, RATE, LEVEL)


def test_a_constant_offset_is_removed():
    waveform = speech(0.3, 0.5, 0.3)
    np.testing.assert_allclose(
        without_offset(0.5 * waveform + 0.4), without_offset(0.5 * waveform), atol=1e-6
    )
