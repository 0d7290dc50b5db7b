"""Digit error rate: how much of a spoken digit string a listener wrote down correctly."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sled.data.digits import DIGIT_WORDS

# Spellings that sound exactly like the digit: a listener who writes them has heard it right.
HOMOPHONES = {
    "ate": "eight",
    "for": "four",
    "fore": "four",
    "o": "zero",
    "oh": "zero",
    "to": "two",
    "too": "two",
    "won": "one",
}


@dataclass(frozen=True)
class DigitScore:
    """Counts over a set of strings.

    Attributes:
        strings: how many strings were heard.
        exact: how many of them without any error.
        digits: how many digits they hold.
        errors: digits substituted or left out, and words put in (edit distance).
    """

    strings: int
    exact: int
    digits: int
    errors: int

    @property
    def error_rate(self) -> float:
        """Errors per digit of the reference; above 1 if the listener wrote much too much."""
        return self.errors / self.digits

    @property
    def exact_rate(self) -> float:
        """Share of strings heard without error."""
        return self.exact / self.strings


def to_digit_words(transcript: str) -> list[str]:
    """Words of a transcript with numerals and homophones written as digit words.

    "4-2, 7." and "For two seven" both become four, two, seven. Any other word is kept, to be
    counted as an error.
    """
    spelled = re.sub(r"\d", lambda digit: f" {DIGIT_WORDS[int(digit[0])]} ", transcript.lower())
    words = re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)*", spelled)
    return [HOMOPHONES.get(word, word) for word in words]


def count_errors(reference: str, transcript: str) -> int:
    """Edit distance in words between a digit string and what was heard.

    Raises:
        ValueError: jiwer is not installed.
    """
    try:
        import jiwer
    except ImportError as error:
        raise ValueError("scoring needs jiwer: run pip install 'sled[eval]'") from error
    counts = jiwer.process_words(reference, " ".join(to_digit_words(transcript)))
    return counts.substitutions + counts.deletions + counts.insertions


def score_digits(references: Sequence[str], transcripts: Sequence[str]) -> DigitScore:
    """Score transcripts against the digit strings that were to be spoken.

    Args:
        references: digit words separated by single spaces, none empty.
        transcripts: what was heard, one per reference, in any spelling.

    Raises:
        ValueError: no references, or not one transcript each.
    """
    if not references or len(references) != len(transcripts):
        raise ValueError(
            f"{len(references)} references and {len(transcripts)} transcripts: "
            "give one transcript per reference, and at least one"
        )
    errors = [count_errors(*pair) for pair in zip(references, transcripts, strict=True)]
    return DigitScore(
        strings=len(references),
        exact=errors.count(0),
        digits=sum(len(reference.split()) for reference in references),
        errors=sum(errors),
    )


def score_by_length(references: Sequence[str], transcripts: Sequence[str]) -> dict[int, DigitScore]:
    """Scores of the strings of each length, shortest first."""
    groups: dict[int, list[tuple[str, str]]] = {}
    for reference, transcript in zip(references, transcripts, strict=True):
        groups.setdefault(len(reference.split()), []).append((reference, transcript))
    return {
        length: score_digits(*zip(*pairs, strict=True)) for length, pairs in sorted(groups.items())
    }
