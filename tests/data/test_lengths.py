"""Frames per token and per sample, measured on cuts whose audio is not read, and its level."""

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
import pytest
import torch
from lhotse import MonoCut, SupervisionSegment
from lhotse.cut import Cut

from sled.data import lengths
from sled.data.lengths import (
    measure_frames_per_token,
    measure_known_words,
    measure_trained_frames,
)
from tests.debug import HOP, SAMPLE_RATE, debug_codec, debug_tokenizer


def cut(text: str | None, frames_per_token: float) -> Cut:
    num_tokens = len(debug_tokenizer().encode(text or ""))
    duration = round(num_tokens * frames_per_token) * HOP / SAMPLE_RATE
    supervision = SupervisionSegment("id", "recording", 0, duration, text=text)
    return MonoCut("id", 0, duration, 0, [supervision])


def measure(cuts: list[Cut] | Iterator[Cut], **options: int):
    return measure_frames_per_token(cuts, debug_tokenizer(), debug_codec(), **options)


def test_one_cut_says_it_all() -> None:
    """`<s>`, four, two, `</s>`: 4 tokens, 80 frames."""
    statistics = measure([cut("four two", 20)])
    assert (statistics.low, statistics.median, statistics.high) == (20, 20, 20)
    assert statistics.num_cuts == 1


def test_a_frame_that_is_only_begun_counts() -> None:
    supervision = SupervisionSegment("id", "recording", 0, 1, text="four two")
    duration = (40 * HOP + 1) / SAMPLE_RATE
    assert measure([MonoCut("id", 0, duration, 0, [supervision])]).median == 41 / 4


def test_a_few_wrong_transcripts_do_not_count() -> None:
    rates = np.random.default_rng(0).uniform(20, 30, 2000)
    cuts = [cut("four two seven one", rate) for rate in rates]
    cuts += [cut("four two seven one", 300)] * 4 + [cut("four two seven one", 1)] * 4
    statistics = measure(cuts)
    assert 19.8 < statistics.low < 20.2
    assert 24 < statistics.median < 26
    assert 29.8 < statistics.high < 30.2


def test_a_corpus_may_have_no_end() -> None:
    statistics = measure((cut("four", 10 + index) for index in count()), max_cuts=3)
    assert (statistics.median, statistics.num_cuts) == (11, 3)


def test_cuts_without_text_are_passed_over() -> None:
    silent = [cut(None, 5), cut("  ", 5), MonoCut("id", 0, 1.0, 0)]
    assert measure([*silent, cut("four", 20)]).num_cuts == 1
    with pytest.raises(ValueError, match="no cut has a text"):
        measure(silent)


def alone(batch: Sequence[Cut]) -> list[list[Cut]]:
    return [[one] for one in batch]


def test_the_length_of_a_sample_is_that_of_all_its_cuts() -> None:
    cuts = [cut("one", 10), cut("two", 20)]
    frames = [round(one.duration * SAMPLE_RATE / HOP) for one in cuts]
    codec = debug_codec()
    joined = measure_trained_frames(cuts, lambda batch: [batch], codec)
    assert joined == sum(frames)
    assert measure_trained_frames([cuts[0]], alone, codec) == frames[0]
    endless = (cuts[0] for _ in count())
    assert measure_trained_frames(endless, alone, codec, max_cuts=3) == frames[0]
    with pytest.raises(ValueError, match="empty"):
        measure_trained_frames([], alone, codec)


def test_a_few_samples_longer_than_all_others_do_not_count() -> None:
    usual, long = cut("one", 10), cut("one", 1000)
    assert measure_trained_frames([usual] * 999 + [long], alone, debug_codec()) < 100


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["four two", "two, seven."] * 30, ("four", "seven", "two")),
        (["four two", "two seven"], None),  # too few to know that there are no other words
        ([f"word{number}" for number in range(200)] * 20, None),
        ([None, " "] * 100, None),
    ],
)
def test_words_are_recorded_if_many_texts_have_few(texts, words) -> None:
    cuts = [cut(text, 5) for text in texts]
    assert measure_known_words(cuts, debug_tokenizer()) == words


@pytest.mark.parametrize("is_cached", [False, True])
def test_the_level_of_speech_is_that_of_most_recordings(is_cached, tmp_path, monkeypatch) -> None:
    tone = np.sin(np.arange(SAMPLE_RATE // 2)).astype(np.float32)
    amplitudes, silence = {"a": 0.1, "b": 0.1, "c": 0.9, "d": 0.0}, np.zeros(SAMPLE_RATE // 5)
    cuts = [cut(name, 10) for name in amplitudes]
    waveforms = [np.concatenate([silence, x * tone, silence]) for x in amplitudes.values()]
    given = iter([torch.from_numpy(one.astype(np.float32)) for one in waveforms])
    codec = debug_codec()
    if is_cached:  # a codec that gives back the waveforms
        monkeypatch.setattr(lengths, "has_codes", lambda one: True)
        monkeypatch.setattr(lengths, "cut_codes", lambda one: torch.zeros(8, 1, dtype=torch.long))
        monkeypatch.setattr(codec, "decode", lambda units: next(given)[None])
    else:
        monkeypatch.setattr(lengths, "cut_waveform", lambda one, sample_rate: next(given))
    level = lengths.measure_speech_level(cuts, codec)
    assert level is not None
    assert level.level_db == pytest.approx(20 * np.log10(0.1 / 2**0.5), abs=0.1)
    assert (level.lead_s, level.tail_s) == pytest.approx((0.2, 0.2), abs=0.011)
    assert lengths.measure_speech_level([], codec) is None
