"""Counting wrongly heard words, against an independent edit distance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.evaluation.wordings import ENGLISH
from sled.evaluation.words import align_text, align_words

pytest.importorskip("jiwer")
words = st.lists(st.sampled_from(["a", "bee", "sea", "dee"]), max_size=8)


def edit_distance(reference: list[str], heard: list[str]) -> int:
    """Levenshtein's recursion, row by row: the oracle."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(reference, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, start=1):
            diagonal, row[j] = (
                row[j],
                min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other)),
            )
    return row[-1]


@given(reference=words, heard=words)
def test_an_alignment_has_all_words_and_the_fewest_errors(
    reference: list[str], heard: list[str]
) -> None:
    alignment = align_words(reference, heard)
    assert [said for said, _ in alignment.pairs if said] == reference
    assert [got for _, got in alignment.pairs if got] == heard
    assert alignment.errors == edit_distance(reference, heard)
    kinds = alignment.substitutions + alignment.deletions + alignment.insertions
    assert kinds == alignment.errors and alignment.words == len(reference)
    assert alignment.insertions - alignment.deletions == len(heard) - len(reference)


def test_of_several_readings_the_nearest_counts() -> None:
    readings = ("Doctor Lee lives there.", "Drive Lee was here.")
    assert align_text(readings, "drive lee was there", ENGLISH).errors == 1
    assert align_text(readings[:1], "drive lee was there", ENGLISH).errors == 2
