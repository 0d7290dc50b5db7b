"""Words that are compared: spelling does not matter, every other word does."""

import pytest

from sled.evaluation.wordings import (
    DIGITS,
    ENGLISH,
    WORDINGS,
    are_digit_strings,
    choose_wording,
    to_digit_words,
    to_english_words,
)


@pytest.mark.parametrize(
    "transcript",
    ["427", "4-2-7", "4, 2, 7.", " Four, two, seven.", "four to seven", "For too seven!", "4 27"],
)
def test_any_spelling_of_the_digits_is_right(transcript: str) -> None:
    assert to_digit_words(transcript) == ["four", "two", "seven"]


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
    assert to_digit_words(transcript) == words


def test_a_test_set_is_of_digits_if_all_of_it_is() -> None:
    assert are_digit_strings(["four two", "nine"])
    assert not are_digit_strings(["four two", "nine lives"])
    assert not are_digit_strings(["42"])
    assert choose_wording("auto", ["four two"]) is DIGITS
    assert choose_wording("auto", ["four two", "nine lives"]) is ENGLISH
    with pytest.raises(ValueError, match="'german': choose one of auto, english"):
        choose_wording("german", [])


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


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("N.A.S.A. and the FBI", "NASA and the F B I"),
        ("see example.com", "see example dot com"),
        ("in 2024", "in twenty twenty-four"),
        ("at 7:45 a.m.", "at seven forty-five a m"),
        ("main.py", "main dot p y"),
        ("an X-ray", "an x ray"),
        ("0.5%", "zero point five percent"),
    ],
)
def test_letters_numbers_and_addresses_are_the_same_as_read_aloud(written: str, said: str) -> None:
    split = WORDINGS["spoken-english"].split
    assert split(written) == split(said) != []


def test_mandarin_is_compared_by_characters() -> None:
    split = WORDINGS["mandarin"].split
    assert split("你好，Hello 世界！３") == ["你", "好", "hello", "世", "界", "3"]
