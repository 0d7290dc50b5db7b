"""When each word and letter of a cut is said: Lhotse's alignments, kept in a cut's supervision.

Lhotse counts the times of alignment items from the beginning of the recording (those of
supervisions from the beginning of the cut), so they stay true when a cut is taken of a cut. Here
the words of a cut leave no gap: each ends where the next begins, the first begins with the cut. So
do its letters, the last of a word ends with the word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from lhotse.cut import Cut
from lhotse.supervision import AlignmentItem

# Kinds of alignments; Lhotse itself calls one "word".
_WORD, _LETTER = "word", "letter"
# Unicode calls them letters, but they only tell how the letter behind them is said.
_STRESS_MARKS = "ˈˌ"


def is_letter(char: str) -> bool:
    """Whether a character stands for a sound that takes time: letters, marks and digits do."""
    return unicodedata.category(char)[0] in "LMN" and char not in _STRESS_MARKS


def with_words(
    cut: Cut, words: Sequence[str], ends_s: Sequence[float], scores: Sequence[float]
) -> Cut:
    """The cut with its words' times.

    Args:
        cut: A cut with one supervision or more; the first is given the words.
        words: In the order in which they are said.
        ends_s: When each is over, in seconds from the beginning of the cut, ascending.
        scores: How sure that is, one number per word; higher is surer.
    """
    return _with_items(cut, _WORD, words, ends_s, [round(score, 4) for score in scores])


def with_letters(cut: Cut, letters: Sequence[str], ends_s: Sequence[float]) -> Cut:
    """The cut with its letters' times.

    Args:
        cut: A cut with one supervision or more; the first is given the letters.
        letters: Those of its words (`is_letter`), in the order in which they are said.
        ends_s: When each is over, in seconds from the beginning of the cut, ascending.
    """
    return _with_items(cut, _LETTER, letters, ends_s, [None] * len(letters))


def word_ends(cut: Cut) -> list[float] | None:
    """When each word is over, in seconds from the beginning of the cut; None: it is not known."""
    return _ends(cut, _WORD)


def letter_ends(cut: Cut) -> list[float] | None:
    """When each letter is over, in seconds from the beginning of the cut; None: it is not known."""
    return _ends(cut, _LETTER)


def spoken_letters(cut: Cut) -> list[str]:
    """The letters that `letter_ends` tells of."""
    alignment = cut.supervisions[0].alignment if cut.supervisions else None
    return [item.symbol for item in (alignment or {}).get(_LETTER, [])]


def without_times(cut: Cut) -> Cut:
    """The cut as if the times of its words and letters had never been known."""
    if not cut.supervisions or not cut.supervisions[0].alignment:
        return cut
    first, *others = cut.supervisions
    kept = {kind: items for kind, items in first.alignment.items() if kind not in (_WORD, _LETTER)}
    return replace(cut, supervisions=[replace(first, alignment=kept or None), *others])


def counted_from_cut(cut: Cut) -> Cut:
    """The cut with alignments as they are once the cut is a recording of its own."""
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
