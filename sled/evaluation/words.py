"""Word error rate: how much of what was to be said a listener wrote down correctly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

_NO_BRACKETS = str.maketrans("()[]<>", "      ")


@dataclass(frozen=True)
class Wording:
    """How texts become the words that are compared, so that only what is heard counts.

    Attributes:
        unit: What the words are called in reports.
        split: Gives the words of a text, whatever its spelling.
    """

    unit: str
    split: Callable[[str], list[str]]


@dataclass(frozen=True)
class WordScore:
    """Counts over a set of utterances.

    Attributes:
        utterances: How many were heard.
        exact: How many of them without any error.
        words: How many words they hold.
        errors: Words substituted or left out, and words put in (edit distance).
    """

    utterances: int
    exact: int
    words: int
    errors: int

    @property
    def error_rate(self) -> float:
        """Errors per word of the reference; above 1 if the listener wrote much too much."""
        return self.errors / self.words

    @property
    def exact_rate(self) -> float:
        """Share of utterances heard without error."""
        return self.exact / self.utterances


@cache
def _english_normalizer() -> EnglishTextNormalizer:
    # Without the table of British and American spellings, which is no part of transformers.
    return EnglishTextNormalizer({})


def to_english_words(text: str) -> list[str]:
    """Words of an English text, normalised as usual for Whisper.

    Case, punctuation, contractions, titles and ways to write a number make no difference.
    """
    # That normaliser leaves out what stands in brackets, which is read as the rest is, and leaves
    # a point of "..." as a word.
    words = _english_normalizer()(text.translate(_NO_BRACKETS)).split()
    return [word for word in words if any(map(str.isalnum, word))]


ENGLISH = Wording("word", to_english_words)


def count_errors(reference: Sequence[str], heard: Sequence[str]) -> int:
    """Edit distance in words between what was to be said and what was heard.

    Raises:
        ValueError: jiwer is not installed.
    """
    try:
        import jiwer
    except ImportError as error:
        raise ValueError("scoring needs jiwer: run pip install 'sled[eval]'") from error
    if not reference:  # which jiwer refuses
        return len(heard)
    counts = jiwer.process_words(" ".join(reference), " ".join(heard))
    return counts.substitutions + counts.deletions + counts.insertions


def score_words(
    references: Sequence[str], transcripts: Sequence[str], wording: Wording
) -> WordScore:
    """Score transcripts against the texts that were to be spoken.

    Args:
        references: What was to be said.
        transcripts: What was heard, one per reference.
        wording: How both become words.

    Raises:
        ValueError: If there are no words to be said, or not one transcript each.
    """
    if len(references) != len(transcripts):
        raise ValueError(
            f"{len(references)} references and {len(transcripts)} transcripts: give one transcript "
            "per reference"
        )
    said = [wording.split(reference) for reference in references]
    num_words = sum(map(len, said))
    if not num_words:
        raise ValueError(
            f"{len(said)} references hold no {wording.unit}: there is nothing to score"
        )
    heard = [wording.split(transcript) for transcript in transcripts]
    errors = [count_errors(*pair) for pair in zip(said, heard, strict=True)]
    return WordScore(len(said), errors.count(0), num_words, sum(errors))
