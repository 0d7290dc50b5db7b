"""Counting wrongly heard digits: spelling does not matter, every other word does."""

import pytest

from sled.evaluation import digits
from sled.evaluation.words import score_words


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


def test_a_test_set_is_of_digits_if_all_of_it_is() -> None:
    assert digits.are_digit_strings(["four two", "nine"])
    assert not digits.are_digit_strings(["four two", "nine lives"])
    assert not digits.are_digit_strings(["42"])


def test_scores_sum_over_strings_and_lengths() -> None:
    pytest.importorskip("jiwer")
    references = ["two", "six", "four two seven", "nine nine one"]
    transcripts = ["To.", "Sex.", "427", "9 1 you see"]
    score = score_words(references, transcripts, digits.DIGITS)
    # "six" is misheard; of "nine nine one", one nine is missing and two words are put in.
    assert (score.utterances, score.exact, score.words, score.errors) == (4, 2, 8, 4)
    assert score.error_rate == 0.5 and score.exact_rate == 0.5

    by_length = digits.score_by_length(references, transcripts)
    assert list(by_length) == [1, 3]
    assert (by_length[1].errors, by_length[1].words) == (1, 2)
    assert sum(part.errors for part in by_length.values()) == score.errors
