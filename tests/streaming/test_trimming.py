"""Trimming of near-silence at the end does not depend on how audio is cut into chunks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sled.streaming.loudness import SilenceMeter
from sled.streaming.trimming import TailTrimmer, trim_tail

RATE = 1000  # a window is 10 samples
WINDOW = 10

# Runs of noise: how loud, in dB below full scale or None for digital silence, and how long.
levels_db = st.sampled_from([None, -90, -65, -45, -30, -10, 0])
waveforms = st.lists(st.tuples(levels_db, st.integers(0, 120)), max_size=8)
cut_lists = st.lists(st.integers(0, 1000), max_size=12)


def noise(runs: list[tuple[float | None, int]]) -> np.ndarray:
    random = np.random.default_rng(0)
    parts = [
        random.choice([-1.0, 1.0], length) * (0 if level is None else 10 ** (level / 20))
        for level, length in runs
    ]
    return np.concatenate([np.zeros(0), *parts]).astype(np.float32)


def cut(waveform: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return np.split(waveform, sorted(min(place, len(waveform)) for place in cuts))


def speech_end(waveform: np.ndarray) -> int:
    """Where the last window ends that is above -60 dB, and -40 dB of the loudest up to it."""
    end, loudest = 0, 0.0
    for start in range(0, len(waveform), WINDOW):
        window = waveform[start : start + WINDOW].astype(np.float64)
        level = float(np.sqrt(np.mean(window**2)))
        loudest = max(loudest, level)
        if level >= max(0.001, 0.01 * loudest):
            end = start + len(window)
    return end


def trimmed_length(waveform: np.ndarray, keep: int, hold: int) -> int:
    end = speech_end(waveform)
    return max(end + keep, len(waveform) - hold) if end else len(waveform)


@given(runs=waveforms, cuts=cut_lists, keep=st.integers(0, 60), hold=st.integers(0, 200))
@settings(max_examples=200)
def test_a_stream_loses_the_silence_at_its_end_wherever_it_is_cut(
    runs: list[tuple[float | None, int]], cuts: list[int], keep: int, hold: int
) -> None:
    waveform = noise(runs)
    trimmer = TailTrimmer(RATE, keep_s=keep / RATE, hold_s=hold / RATE)
    fed, passed = 0, []
    for piece in cut(waveform, cuts):
        passed.append(trimmer.feed(piece))
        fed += len(piece)
        assert fed - sum(map(len, passed)) <= hold
    passed.append(trimmer.finish())
    length = trimmed_length(waveform, keep, hold)
    np.testing.assert_array_equal(np.concatenate(passed), waveform[:length])


@given(runs=waveforms, cuts=cut_lists, place=st.integers(0, 500))
def test_a_stream_loses_the_same_wherever_it_is_cut_after_all_has_been_released(
    runs: list[tuple[float | None, int]], cuts: list[int], place: int
) -> None:
    waveform = noise([(-10, 50), (None, 90), *runs])
    passed = []
    for pieces in ([waveform[place:]], cut(waveform[place:], cuts)):
        trimmer = TailTrimmer(RATE, keep_s=0.02, hold_s=0.05)
        before = [trimmer.feed(waveform[:place]), trimmer.release()]
        after = [*map(trimmer.feed, pieces), trimmer.finish()]
        passed.append(np.concatenate([*before, *after]))
    np.testing.assert_array_equal(*passed)
    length = trimmed_length(waveform, keep=20, hold=50)
    np.testing.assert_array_equal(passed[0], waveform[: max(length, min(place, len(waveform)))])


@given(runs=waveforms, keep=st.integers(0, 60))
def test_a_whole_waveform_loses_all_of_it(runs: list[tuple[float | None, int]], keep: int) -> None:
    waveform = noise(runs)
    trimmed = trim_tail(waveform, RATE, keep_s=keep / RATE)
    length = trimmed_length(waveform, keep, hold=len(waveform))
    np.testing.assert_array_equal(trimmed, waveform[:length])


def test_speech_is_passed_on_without_delay() -> None:
    trimmer = TailTrimmer(RATE, keep_s=0.02)
    assert len(trimmer.feed(noise([(None, 50), (-30, 50)]))) == 100  # before it, all is speech
    assert len(trimmer.feed(noise([(-90, 50)]))) == 20
    assert len(trimmer.feed(noise([(-30, 20)]))) == 30 + 20


@pytest.mark.parametrize("gain_db", [0, -10, -30])
def test_quiet_voices_are_trimmed_like_loud_ones(gain_db: int) -> None:
    waveform = noise([(-10, 300), (-55, 200)]) * np.float32(10 ** (gain_db / 20))
    assert len(trim_tail(waveform, RATE, keep_s=0.1)) == 400


@given(runs=waveforms, cuts=cut_lists)
def test_silence_is_measured_wherever_the_waveform_is_cut(
    runs: list[tuple[float | None, int]], cuts: list[int]
) -> None:
    waveform = noise(runs)
    meter = SilenceMeter(RATE)
    longest = 0
    for piece in cut(waveform, cuts):
        meter.feed(piece)
        longest = max(longest, meter.longest_silence)
    meter.finish()
    assert (meter.num_samples, meter.speech_end) == (len(waveform), speech_end(waveform))
    whole = SilenceMeter(RATE)
    whole.feed(waveform)
    whole.finish()
    assert meter.longest_silence == whole.longest_silence >= longest


def test_the_longest_silence_may_lie_within() -> None:
    meter = SilenceMeter(RATE)
    meter.feed(noise([(None, 100), (-10, 100), (-65, 300), (-20, 100), (None, 200)]))
    assert (meter.longest_silence, meter.speech_end, meter.num_samples) == (300, 600, 800)


def test_a_waveform_that_never_speaks_is_silent_but_not_at_its_end() -> None:
    waveform = noise([(-70, 200), (None, 100)])
    meter = SilenceMeter(RATE)
    meter.feed(waveform)
    assert (meter.longest_silence, meter.speech_end) == (300, 0)
    assert len(TailTrimmer(RATE, keep_s=0, hold_s=0.1).feed(waveform)) == 300


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="threshold_db=3"):
        SilenceMeter(RATE, threshold_db=3)
    with pytest.raises(ValueError, match="keep_s=-1"):
        TailTrimmer(RATE, keep_s=-1)
