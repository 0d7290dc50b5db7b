"""Inputs from reports of users, if they are at hand: each is said in one of its right ways."""

import json
import re
from pathlib import Path

import pytest

from sled.normalization import normalize

_FILE = Path(__file__).parents[2].parent / "shared" / "cases.jsonl"
_KINDS_IN_PHONEMES = (
    "capitals that are spelled",
    "the letter A",
    "accents are taken off",
    "sounds",
)
# The names of the letters in these cases.
_LETTERS = {
    "A": "ˈA", "C": "sˈi", "E": "ˈi", "H": "ˈAʧ", "I": "ˈI", "M": "ˈɛm", "N": "ˈɛn", "O": "ˈO",
    "P": "pˈi", "S": "ˈɛs", "T": "tˈi", "U": "jˈu", "W": "dˈʌbᵊlju", "Y": "wˈI",
}  # fmt: skip


def read_cases(*, in_phonemes: bool) -> list[tuple[str, str]]:
    """Inputs and right values of the cases that are about normalisation."""
    if not _FILE.is_file():
        return []
    rows = map(json.loads, _FILE.read_text("utf-8").splitlines())
    return [
        (row["input"], row["right"])
        for row in rows
        if row["id"].startswith("N") and row["kind"].startswith(_KINDS_IN_PHONEMES) == in_phonemes
    ]


def right_phonemes(written: str, right: str) -> str:
    """The phonemes that the right value of a case names, or describes in English.

    It is phonemes, with or without a comment around them, "letters" for the names of the capitals,
    or words that sound the same.
    """
    right = re.sub("(?:, not|; ).*", "", right)
    phonemes = right.rpartition(": ")[2]
    if not phonemes.isascii():
        return phonemes
    if "letters" in right:
        words = (
            " ".join(_LETTERS[letter] for letter in word)
            if word.isupper()
            else normalize(word, "english-phonemes")
            for word in written.split()
        )
        return " ".join(words)
    return normalize(right.removeprefix("a "), "english-phonemes")


@pytest.mark.skipif(not _FILE.is_file(), reason="no file of cases")
@pytest.mark.parametrize(("written", "right"), read_cases(in_phonemes=False))
def test_reported_inputs_are_said_rightly(written: str, right: str) -> None:
    assert normalize(written, "english").strip() in right.split("|")


@pytest.mark.skipif(not _FILE.is_file(), reason="no file of cases")
@pytest.mark.parametrize(("written", "right"), read_cases(in_phonemes=True))
def test_reported_inputs_have_the_right_sounds(written: str, right: str) -> None:
    said = normalize(written, "english-phonemes")
    assert said.rstrip(" .!") == right_phonemes(written, right)
