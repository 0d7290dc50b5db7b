"""Strings of digits, and words that a model of few words does not know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.normalization import normalize
from sled.normalization.digits import WORDS, DigitsNormalizer
from sled.text.known_words import KnownWords


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("90125", "nine zero one two five"),
        ("42", "four two"),
        ("555-0123", "five five five zero one two three"),
        ("9 0 1", "nine zero one"),
        ("Four, two... seven!", "four two seven"),
        ("+1 (555) 010", "one five five five zero one zero"),
        ("٤٢", "four two"),
        ("?!", ""),
    ],
)
def test_table(text, right):
    assert normalize(text, "digits").strip() == right


@given(st.text("0123four -.'x7", max_size=20), st.data())
def test_any_cut_gives_the_same_words_with_their_characters(text, data):
    whole = DigitsNormalizer()
    words = whole.feed(text) + whole.finish()
    cut = data.draw(st.integers(0, len(text)))
    parts = DigitsNormalizer()
    assert parts.feed(text[:cut]) + parts.feed(text[cut:]) + parts.finish() == words
    for word in words:
        written = text[word.start : word.end]
        assert word.text.strip() == (WORDS[int(written)] if written.isdigit() else written)


def test_words_that_a_model_does_not_know_are_left_out_and_named():
    normalizer, known = DigitsNormalizer(), KnownWords(WORDS)
    words = known.feed(normalizer.feed("Call 90 now, five, call")) + known.feed(normalizer.finish())
    assert "".join(word.text for word in words + known.finish()) == "nine zero five "
    assert known.left_out == ("call", "now")
