"""Texts as letters or phonemes, and how wrong a spelling is."""

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.data.tokens.spelling import edit_distance, greedy_symbols, spell


@pytest.mark.parametrize(
    ("text", "text_normalization", "spelled"),
    [
        ("Hello,  you two!", None, "hello you two"),
        ("It is 2.", None, "it is 2"),
        ("It is 2.", "english", "it is two"),
        ("Hello, you.", "english-phonemes", "həlO ju"),
        ("Übung macht's.", None, "übung machts"),
        ("今天 天气", None, "今天 天气"),
        (" - ", None, ""),
    ],
)
def test_texts_are_spelled_without_punctuation_and_stress(text, text_normalization, spelled):
    assert "".join(spell(text, text_normalization)) == spelled


@given(st.text("abc", max_size=8, min_size=1), st.text("abc", max_size=8))
def test_the_distance_is_that_of_jiwer(wanted, said):
    expected = jiwer.process_characters(wanted, said)
    errors = expected.substitutions + expected.deletions + expected.insertions
    assert edit_distance([*map(ord, said)], [*map(ord, wanted)]) == errors


def test_repeated_labels_are_one_symbol_unless_a_blank_is_between():
    assert greedy_symbols([0, 1, 1, 0, 1, 2, 2, 0, 0]) == [1, 1, 2]
    assert greedy_symbols([0, 0]) == []
