"""Which token of its text each frame of a sample belongs to, as far as its cuts' times tell.

Where letters have times, a character that is none, such as a comma, lasts no time: it is passed
when the letter before it is over. Where only words have, all characters of a word are taken to last
equally long. The silence after the last word belongs to what comes next: the text that follows, or
`</s>`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from lhotse.cut import Cut
from torch import Tensor

from sled.data.alignment.spoken_times import is_letter, letter_ends, word_ends
from sled.text.tokenizer import TextTokenizer


def spoken_tokens(
    tokenizer: TextTokenizer, cuts: Sequence[Cut], starts_s: Sequence[float], times_s: Tensor
) -> Tensor:
    """The token that is being said at each of some times.

    Args:
        tokenizer: Of the texts.
        cuts: One behind the other, as one sample; each has a text.
        starts_s: When each begins.
        times_s: [T] seconds, ascending.

    Returns:
        int64 [T], numbers in `tokenizer.encode` of all texts, one space apart; -1 where it is not
        known.
    """
    tokens = torch.full(times_s.shape, -1)
    texts = [cut.supervisions[0].text for cut in cuts]
    whole, parts = tokenizer.normalize(" ".join(texts)), list(map(tokenizer.normalize, texts))
    if whole != " ".join(parts):  # what a text is read as may depend on the one beside it
        return tokens
    ends = torch.tensor(tokenizer.token_ends(whole))
    first = 0  # character of the cut's text in the whole one
    for cut, text, start in zip(cuts, parts, starts_s, strict=True):
        here = times_s > start
        at = _characters(cut, text, times_s[here] - start)
        # Before them all comes <s>.
        tokens[here] = -1 if at is None else 1 + torch.searchsorted(ends, first + at, right=True)
        first += len(text) + 1
    return tokens


def _characters(cut: Cut, text: str, times_s: Tensor) -> Tensor | None:
    """Where in its text a cut is at some times, as a number of characters; None: not known."""
    letters = [(at, at + 1) for at, char in enumerate(text) if is_letter(char)]
    words = [word.span() for word in re.finditer(r"\S+", text)]
    for ends, spans in ((letter_ends(cut), letters), (word_ends(cut), words)):
        # Not as many: they are those of another normalisation, or there are none.
        if ends and len(ends) == len(spans):
            return _interpolate(ends, [*spans, (len(text), len(text))], times_s)
    return None


def _interpolate(ends_s: list[float], spans: list[tuple[int, int]], times_s: Tensor) -> Tensor:
    """The character that is being said at each time, if those of each span last equally long.

    Args:
        ends_s: When each span is over, but for the last, which is never over.
        spans: First character and the one behind the last.
        times_s: [T].
    """
    edges = torch.tensor([0.0, *ends_s, torch.inf])
    first, behind = torch.tensor(spans).T
    span = torch.bucketize(times_s, edges[1:-1], right=True)
    share = (times_s - edges[span]) / (edges[span + 1] - edges[span])
    return first[span] + (share * (behind - first)[span]).long()
