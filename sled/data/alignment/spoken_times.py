"""Times of the words and letters of a cut, stored as Lhotse alignments in its supervision.

Lhotse counts the times of alignment items from the start of the recording, and those of
supervisions from the start of the cut, so alignments stay valid when a part of a cut is cut out.
Words and letters have no gaps: each starts where the one before it ends, the first starts with the
cut, and the last letter of a word ends with the word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from lhotse.cut import Cut
from lhotse.supervision import AlignmentItem

# Names of the alignments; Lhotse itself uses "word".
_WORD, _LETTER = "word", "letter"
# Unicode counts them as letters, but they only modify the letter that follows.
_STRESS_MARKS = "ˈˌ"


def is_letter(char: str) -> bool:
    """Whether a character stands for a sound that takes time: letters, marks and digits do."""
    return unicodedata.category(char)[0] in "LMN" and char not in _STRESS_MARKS


def with_words(
    cut: Cut, words: Sequence[str], ends_s: Sequence[float], scores: Sequence[float]
) -> Cut:
    """Add the times of words to a cut.

    Args:
        cut: A cut; the words are added to its first supervision.
        words: The words in spoken order.
        ends_s: End of each word, in seconds from the start of the cut, ascending.
        scores: Confidence of each word; higher is better.
    """
    return _with_items(cut, _WORD, words, ends_s, [round(score, 4) for score in scores])


def with_letters(cut: Cut, letters: Sequence[str], ends_s: Sequence[float]) -> Cut:
    """Add the times of letters to a cut.

    Args:
        cut: A cut; the letters are added to its first supervision.
        letters: The letters of its words (`is_letter`) in spoken order.
        ends_s: End of each letter, in seconds from the start of the cut, ascending.
    """
    return _with_items(cut, _LETTER, letters, ends_s, [None] * len(letters))


def word_ends(cut: Cut) -> list[float] | None:
    """End of each word, in seconds from the start of the cut. None: unknown."""
    return _ends(cut, _WORD)


def letter_ends(cut: Cut) -> list[float] | None:
    """End of each letter, in seconds from the start of the cut. None: unknown."""
    return _ends(cut, _LETTER)


def spoken_letters(cut: Cut) -> list[str]:
    """The letters whose ends `letter_ends` returns."""
    alignment = cut.supervisions[0].alignment if cut.supervisions else None
    return [item.symbol for item in (alignment or {}).get(_LETTER, [])]


def without_times(cut: Cut) -> Cut:
    """Remove the times of words and letters from a cut."""
    if not cut.supervisions or not cut.supervisions[0].alignment:
        return cut
    first, *others = cut.supervisions
    kept = {kind: items for kind, items in first.alignment.items() if kind not in (_WORD, _LETTER)}
    return replace(cut, supervisions=[replace(first, alignment=kept or None), *others])


def counted_from_cut(cut: Cut) -> Cut:
    """Shift the alignments of a cut to what they are once the cut is a recording of its own."""
    if not cut.start:
        return cut
    return replace(
        cut,
        supervisions=[
            replace(
                one,
                alignment={
                    kind: [item.with_offset(-cut.start) for item in items]
                    for kind, items in one.alignment.items()
                },
            )
            if one.alignment
            else one
            for one in cut.supervisions
        ],
    )


def _with_items(
    cut: Cut,
    kind: str,
    symbols: Sequence[str],
    ends_s: Sequence[float],
    scores: Sequence[float | None],
) -> Cut:
    edges = [cut.start, *(round(cut.start + end, 4) for end in ends_s)]
    items = [
        AlignmentItem(symbol, start, round(end - start, 8), score)
        for symbol, start, end, score in zip(symbols, edges[:-1], edges[1:], scores, strict=True)
    ]
    first, *others = cut.supervisions
    return replace(cut, supervisions=[first.with_alignment(kind, items), *others])


def _ends(cut: Cut, kind: str) -> list[float] | None:
    alignment = cut.supervisions[0].alignment if cut.supervisions else None
    if not alignment or kind not in alignment:
        return None
    return [round(item.end - cut.start, 8) for item in alignment[kind]]
