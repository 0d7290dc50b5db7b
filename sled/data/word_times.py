"""When each word of a cut is said: Lhotse's own word alignments, kept in a cut's supervision.

Lhotse counts the times of alignment items from the beginning of the recording (those of
supervisions from the beginning of the cut), so they stay true when a cut is taken of a cut. Here
the words of a cut leave no gap: each ends where the next begins, the first begins with the cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lhotse.cut import Cut
from lhotse.supervision import AlignmentItem

_KIND = "word"  # as Lhotse calls it


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
    edges = [cut.start, *(round(cut.start + end, 4) for end in ends_s)]
    items = [
        AlignmentItem(word, start, round(end - start, 8), round(score, 4))
        for word, start, end, score in zip(words, edges[:-1], edges[1:], scores, strict=True)
    ]
    first, *others = cut.supervisions
    return replace(cut, supervisions=[first.with_alignment(_KIND, items), *others])


def word_ends(cut: Cut) -> list[float] | None:
    """When each word is over, in seconds from the beginning of the cut; None: it is not known."""
    items = _items(cut)
    return None if items is None else [round(item.end - cut.start, 8) for item in items]


def without_words(cut: Cut) -> Cut:
    """The cut as if its words' times had never been known."""
    if _items(cut) is None:
        return cut
    first, *others = cut.supervisions
    kept = {kind: items for kind, items in first.alignment.items() if kind != _KIND}
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


def _items(cut: Cut) -> list[AlignmentItem] | None:
    if not cut.supervisions:
        return None
    return (cut.supervisions[0].alignment or {}).get(_KIND)
