"""Words and pieces of sentences."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.data.synthetic.pieces import MAX_PIECE_WORDS, MIN_PIECE_WORDS, collect_words, cut_piece


def test_words_come_once_in_lower_case_unless_they_are_names():
    sentences = ["The man, John's half-brother, paid $5;", "so the (other) man paid too."]
    words = ["the", "man", "John's", "half-brother", "paid", "so", "other", "too"]
    assert collect_words(sentences) == words


@given(st.lists(st.text("abc", min_size=1), min_size=1, max_size=30), st.integers(0, 2**32))
def test_a_piece_is_words_in_a_row(words, seed):
    piece = cut_piece(" ".join(words), random.Random(seed))
    assert f" {piece} " in f" {' '.join(words)} "
    count = len(piece.split())
    assert min(MIN_PIECE_WORDS, len(words)) <= count <= MAX_PIECE_WORDS


@pytest.mark.parametrize("seed", range(5))
def test_a_piece_has_no_joint_at_its_ends(seed):
    piece = cut_piece('"so," he said -- (the end),', random.Random(seed))
    assert piece == piece.strip(' ,-("')
