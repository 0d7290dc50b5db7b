"""Counting wrongly heard words: what cannot be heard makes no difference."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.evaluation.words import ENGLISH, Wording, count_errors, score_words, to_english_words

words = st.lists(st.sampled_from(["a", "bee", "sea", "dee"]), max_size=8)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It was silent, and gloomy.", "it was silent and gloomy"),
        ("Mr. Steels can't come", "mister steels can not come"),
        ("I'll take twenty-three.", "I will take 23"),
        ("Hmm, well: yes!", "well yes"),
        ("naïve", "Naive"),
        ("He declared that...", "he declared that"),
        ("(as he [the King] said)", "as he the king said"),
    ],
)
def test_spellings_that_sound_alike_are_the_same_words(one: str, other: str) -> None:
    assert to_english_words(one) == to_english_words(other) != []


def test_words_that_sound_different_are_not() -> None:
    assert to_english_words("the danger trail") != to_english_words("the danger tale")


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
def test_errors_are_the_edit_distance(reference: list[str], heard: list[str]) -> None:
    pytest.importorskip("jiwer")
    assert count_errors(reference, heard) == edit_distance(reference, heard)


def test_a_score_is_over_all_words_however_long_their_utterances() -> None:
    pytest.importorskip("jiwer")
    references = ["Yes.", "Author of the danger trail."]
    score = score_words(references, ["No!", "author of danger trail"], ENGLISH)
    assert (score.utterances, score.exact, score.words, score.errors) == (2, 0, 6, 2)
    assert score.error_rate == pytest.approx(2 / 6)
    perfect = score_words(references, references, ENGLISH)
    assert (perfect.error_rate, perfect.exact_rate) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("references", "transcripts", "message"),
    [
        (["one"], [], "one transcript per reference"),
        (["one"], ["1", "2"], "one transcript per reference"),
        ([], [], "nothing to score"),
        (["...", ""], ["a", "b"], "contain no letter"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    references: list[str], transcripts: list[str], message: str
) -> None:
    letters = Wording("letter", lambda text: [char for char in text if char.isalpha()])
    with pytest.raises(ValueError, match=message):
        score_words(references, transcripts, letters)
