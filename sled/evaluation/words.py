"""Wrong words: a text and its transcript, aligned with the fewest errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sled.evaluation.wordings import Wording
from sled.files.extras import install_command


@dataclass(frozen=True)
class Alignment:
    """The words of a text beside those that were heard.

    Attributes:
        pairs: A word of the text and the one heard for it; "" for a missing or an added word.
    """

    pairs: tuple[tuple[str, str], ...]

    @property
    def words(self) -> int:
        """Number of words in the text."""
        return sum(bool(said) for said, _ in self.pairs)

    @property
    def substitutions(self) -> int:
        """Number of words for which another was heard."""
        return sum(bool(said and heard) and said != heard for said, heard in self.pairs)

    @property
    def deletions(self) -> int:
        """Number of words of the text that were not heard."""
        return sum(not heard for _, heard in self.pairs)

    @property
    def insertions(self) -> int:
        """Number of words heard that are not in the text."""
        return sum(not said for said, _ in self.pairs)

    @property
    def errors(self) -> int:
        """The edit distance."""
        return sum(said != heard for said, heard in self.pairs)


def align_words(reference: Sequence[str], heard: Sequence[str]) -> Alignment:
    """Align words of a text with words heard.

    Raises:
        ValueError: If jiwer is not installed.
    """
    try:
        import jiwer
    except ImportError as error:
        raise ValueError(f"scoring needs jiwer: run {install_command('eval')}") from error
    if not reference:  # jiwer refuses it
        return Alignment(tuple(("", word) for word in heard))
    aligned = jiwer.process_words(" ".join(reference), " ".join(heard))
    pairs: list[tuple[str, str]] = []
    for chunk in aligned.alignments[0]:
        said = list(reference[chunk.ref_start_idx : chunk.ref_end_idx])
        got = list(heard[chunk.hyp_start_idx : chunk.hyp_end_idx])
        length = max(len(said), len(got))
        said += [""] * (length - len(said))
        got += [""] * (length - len(got))
        pairs += zip(said, got, strict=True)
    return Alignment(tuple(pairs))


def align_text(references: Sequence[str], heard: str, wording: Wording) -> Alignment:
    """Align a transcript with the reading of a text that it has the fewest errors against.

    Args:
        references: Correct readings of the text, at least one.
        heard: The transcript.
        wording: How they are divided into words.
    """
    words = wording.split(heard)
    alignments = [align_words(wording.split(reference), words) for reference in references]
    return min(alignments, key=lambda one: one.errors)
