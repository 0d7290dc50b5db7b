"""Counting wrongly heard digits: spelling does not matter, every other word does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.data.digits import DIGIT_WORDS
from sled.evaluation import digits

digit_lists = st.lists(st.sampled_from(DIGIT_WORDS), min_size=1, max_size=8)


@pytest.mark.parametrize(
    "transcript",
    ["427", "4-2-7", "4, 2, 7.", " Four, two, seven.", "four to seven", "For too seven!", "4 27"],
)
def test_any_spelling_of_the_digits_is_right(transcript: str) -> None:
    assert digits.to_digit_words(transcript) == ["four", "two", "seven"]


@pytest.mark.parametrize(
    ("transcript", "words"),
    [
        ("Oh, won, ate.", ["zero", "one", "eight"]),
        ("Niner sixes tree", ["niner", "sixes", "tree"]),
        ("I'm sorry.", ["i'm", "sorry"]),
        ("forty two", ["forty", "two"]),
        ("(419) 503", ["four", "one", "nine", "five", "zero", "three"]),
        ("...", []),
        ("", []),
    ],
)
def test_other_words_are_kept(transcript: str, words: list[str]) -> None:
    assert digits.to_digit_words(transcript) == words


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


@given(reference=digit_lists, heard=st.lists(st.sampled_from([*DIGIT_WORDS, "you"]), max_size=9))
def test_errors_are_the_edit_distance(reference: list[str], heard: list[str]) -> None:
    pytest.importorskip("jiwer")
    errors = digits.count_errors(" ".join(reference), " ".join(heard))
    assert errors == edit_distance(reference, heard)


def test_score_sums_over_strings_and_lengths() -> None:
    pytest.importorskip("jiwer")
    references = ["two", "six", "four two seven", "nine nine one"]
    transcripts = ["To.", "Sex.", "427", "9 1 you see"]
    score = digits.score_digits(references, transcripts)
    # "six" is misheard; of "nine nine one", one nine is missing and two words are put in.
    assert (score.strings, score.exact, score.digits, score.errors) == (4, 2, 8, 4)
    assert score.error_rate == 0.5 and score.exact_rate == 0.5

    by_length = digits.score_by_length(references, transcripts)
    assert list(by_length) == [1, 3]
    assert (by_length[1].errors, by_length[1].digits) == (1, 2)
    assert sum(part.errors for part in by_length.values()) == score.errors


@pytest.mark.parametrize(
    ("references", "transcripts"), [([], []), (["one"], []), (["one"], ["1", "2"])]
)
def test_unequal_or_empty_lists_are_refused(references: list[str], transcripts: list[str]) -> None:
    with pytest.raises(ValueError, match="one transcript per reference"):
        digits.score_digits(references, transcripts)
