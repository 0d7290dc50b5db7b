"""The seed and the sentence alone decide which sentences are held out."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.data.corpora.splits import (
    HASH_RANGE,
    count_threshold,
    sentence_hash,
    sentence_key,
    share_threshold,
)

SENTENCES = [f"Sentence number {number}." for number in range(2_000)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What, again?", "WHAT AGAIN"),
        ("caf\u00e9", "Cafe\u0301!"),
        ("今天天气很好。", "今天天气,很好"),
        ("It's 5 o'clock", "It\u2019s 5 o\u2019clock"),
    ],
)
def test_spellings_of_a_sentence_stay_together(one: str, other: str) -> None:
    assert sentence_hash(one, 0) == sentence_hash(other, 0)


@pytest.mark.parametrize(
    ("one", "other"), [("今天", "明天"), ("5 o'clock", "6 o'clock"), ("?", "!"), ("कि", "की")]
)
def test_different_sentences_are_drawn_on_their_own(one: str, other: str) -> None:
    assert sentence_hash(one, 0) != sentence_hash(other, 0)


@given(text=st.text(st.characters(codec="utf-8"), min_size=1))
def test_the_key_does_not_depend_on_unicode_form_or_spacing(text: str) -> None:
    assert sentence_key(text)
    if any(char.isalnum() for char in text):
        assert sentence_key(unicodedata.normalize("NFD", text)) == sentence_key(text)
        assert sentence_key(f" {text} ") == sentence_key(text)


def test_the_seed_decides_what_is_held_out() -> None:
    threshold = share_threshold(0.1)
    held_out = [
        {text for text in SENTENCES if sentence_hash(text, seed) < threshold} for seed in (0, 0, 1)
    ]
    assert held_out[0] == held_out[1] != held_out[2]
    assert all(150 < len(texts) < 250 for texts in held_out)
    assert share_threshold(0.0) == 0


@given(hashes=st.lists(st.integers(0, HASH_RANGE - 1)), count=st.integers(1, 12), data=st.data())
def test_the_least_threshold_with_enough_below_it(
    hashes: list[int], count: int, data: st.DataObject
) -> None:
    hashes += data.draw(st.lists(st.sampled_from(hashes))) if hashes else []
    threshold = count_threshold(iter(hashes), count)
    below = [value for value in hashes if value < threshold]
    assert len(below) >= min(count, len(hashes))
    if below:  # any lower and the last sentence, with all its readings, would be missed
        assert len([value for value in below if value < threshold - 1]) < count
