"""The text token that is spoken in each frame of a sample, from the times of words or letters.

With times of letters, other characters such as a comma take no time: they are passed at the end of
the letter before them. With times of words only, all characters of a word take equally long. The
silence after the last word belongs to what follows: the next text, or `</s>`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from lhotse.cut import Cut
from torch import Tensor

from sled.data.alignment.spoken_times import (
    is_letter,
    letter_ends,
    with_letters,
    with_words,
    word_ends,
)
from sled.text.published_tokenizers import DividedText
from sled.text.tokenizer import TextTokenizer


def spoken_tokens(
    tokenizer: DividedText, cuts: Sequence[Cut], starts_s: Sequence[float], times_s: Tensor
) -> Tensor:
    """The token that is spoken at each of some times.

    Args:
        tokenizer: Tokenizer of the texts.
        cuts: Cuts with texts, joined to one sample in this order.
        starts_s: Start of each cut in the sample, in seconds.
        times_s: [T] seconds, ascending.

    Returns:
        int64 [T], positions in `tokenizer.encode` of all texts joined by spaces; -1 where unknown.
    """
    tokens = torch.full(times_s.shape, -1)
    texts = [cut.supervisions[0].text for cut in cuts]
    whole, parts = tokenizer.normalize(" ".join(texts)), list(map(tokenizer.normalize, texts))
    if whole != " ".join(parts):  # normalisation depends on the neighbouring text
        return tokens
    ends = torch.tensor(tokenizer.token_ends(whole))
    first = 0  # where the text of the cut starts in the whole text
    for cut, text, start in zip(cuts, parts, starts_s, strict=True):
        here = times_s > start
        at = _characters(cut, text, times_s[here] - start)
        # Token 0 is <s>.
        tokens[here] = -1 if at is None else 1 + torch.searchsorted(ends, first + at, right=True)
        first += len(text) + 1
    return tokens


def with_times_of_tokens(
    cut: Cut, tokenizer: TextTokenizer, tokens: Sequence[int], frame_s: float
) -> Cut:
    """Add the times of words and letters to a cut of which each frame's token is known.

    It undoes `spoken_tokens` at the ends of frames: a token begins in the middle of its first
    frame, since it was not yet said at the end of the frame before; one that is never said, half a
    frame after the end. The letters of a token last equally long.

    Args:
        cut: A cut with a text.
        tokenizer: Tokenizer of the text.
        tokens: [T] positions in `tokenizer.encode` of its text. One that is taken back later does
            not count.
        frame_s: Duration of a frame in seconds.

    Returns:
        The cut; without times if its text has no letters.
    """
    text = tokenizer.normalize(cut.supervisions[0].text)
    ends = [0, *tokenizer.token_ends(text)]  # <s> comes first, </s> is token len(ends)
    said = np.minimum.accumulate(np.asarray(tokens)[::-1])[::-1]
    first = np.searchsorted(said, np.arange(len(ends) + 1))  # frame of each token
    begins_s = np.where(first == 0, 0.0, first + 0.5) * frame_s
    of_letters, of_words = [], []
    for word in re.finditer(r"\S+", text):
        for at in (place for place in range(*word.span()) if is_letter(text[place])):
            token = int(np.searchsorted(ends, at, side="right"))
            own = [place for place in range(ends[token - 1], ends[token]) if is_letter(text[place])]
            share = (own.index(at) + 1) / len(own)
            of_letters.append(float(begins_s[token] * (1 - share) + begins_s[token + 1] * share))
        of_words.append(of_letters[-1] if of_letters else 0.0)
    if not of_letters:
        return cut
    cut = with_words(cut, text.split(), of_words, [0.0] * len(of_words))
    return with_letters(cut, list(filter(is_letter, text)), of_letters)


def _characters(cut: Cut, text: str, times_s: Tensor) -> Tensor | None:
    """Character of its text that a cut has reached at some times. None: unknown."""
    letters = [(at, at + 1) for at, char in enumerate(text) if is_letter(char)]
    words = [word.span() for word in re.finditer(r"\S+", text)]
    for ends, spans in ((letter_ends(cut), letters), (word_ends(cut), words)):
        # The counts differ if the times belong to another normalisation, or are missing.
        if ends and len(ends) == len(spans):
            return _interpolate(ends, [*spans, (len(text), len(text))], times_s)
    return None


def _interpolate(ends_s: list[float], spans: list[tuple[int, int]], times_s: Tensor) -> Tensor:
    """The character that is spoken at each time, if the characters of a span take equally long.

    Args:
        ends_s: End of each span but the last, which has no end.
        spans: First character of each span, and the one behind its last.
        times_s: [T].
    """
    edges = torch.tensor([0.0, *ends_s, torch.inf])
    first, behind = torch.tensor(spans).T
    span = torch.bucketize(times_s, edges[1:-1], right=True)
    share = (times_s - edges[span]) / (edges[span + 1] - edges[span])
    characters: Tensor = first[span] + (share * (behind - first)[span]).long()
    return characters
