"""Word error rate: the share of the words of a text that were not recognised in its speech."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from sled.files.extras import install_command

_NO_BRACKETS = str.maketrans("()[]<>", "      ")


@dataclass(frozen=True)
class Wording:
    """How texts are split into the words that are compared, without differences of spelling.

    Attributes:
        unit: Name of the words in reports.
        split: Returns the words of a text.
    """

    unit: str
    split: Callable[[str], list[str]]


@dataclass(frozen=True)
class WordScore:
    """Counts over a set of utterances.

    Attributes:
        utterances: Number of utterances.
        exact: Number of utterances without errors.
        words: Number of words in their texts.
        errors: Substituted, deleted and inserted words (edit distance).
    """

    utterances: int
    exact: int
    words: int
    errors: int

    @property
    def error_rate(self) -> float:
        """Errors per word of the reference; above 1 if the transcripts are much too long."""
        return self.errors / self.words

    @property
    def exact_rate(self) -> float:
        """Share of utterances without errors."""
        return self.exact / self.utterances


@cache
def _english_normalizer() -> EnglishTextNormalizer:
    # transformers does not include the table of British and American spellings.
    return EnglishTextNormalizer({})  # type: ignore[no-untyped-call]


def to_english_words(text: str) -> list[str]:
    """Return the words of an English text, normalised as usual for Whisper.

    Case, punctuation, contractions, titles and ways to write a number make no difference.
    """
    # The normaliser drops text in brackets, which is spoken too, and keeps a point of "..." as a
    # word.
    words = _english_normalizer()(text.translate(_NO_BRACKETS)).split()
    return [word for word in words if any(map(str.isalnum, word))]


ENGLISH = Wording("word", to_english_words)


def count_errors(reference: Sequence[str], heard: Sequence[str]) -> int:
    """Return the edit distance in words between a text and its transcript.

    Raises:
        ValueError: If jiwer is not installed.
    """
    try:
        import jiwer
    except ImportError as error:
        raise ValueError(f"scoring needs jiwer: run {install_command('eval')}") from error
    if not reference:  # jiwer refuses it
        return len(heard)
    counts = jiwer.process_words(" ".join(reference), " ".join(heard))
    return counts.substitutions + counts.deletions + counts.insertions


def score_words(
    references: Sequence[str], transcripts: Sequence[str], wording: Wording
) -> WordScore:
    """Score transcripts against the texts.

    Args:
        references: The texts.
        transcripts: The transcript of each.
        wording: How both are split into words.

    Raises:
        ValueError: If the texts have no words, or there is not one transcript for each.
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
            f"{len(said)} references contain no {wording.unit}: there is nothing to score"
        )
    heard = [wording.split(transcript) for transcript in transcripts]
    errors = [count_errors(*pair) for pair in zip(said, heard, strict=True)]
    return WordScore(len(said), errors.count(0), num_words, sum(errors))
