"""Text that grows becomes tokens, each as soon as no later character can change it.

Two things can still change in the tokens of a text that goes on.

Where words end. The tokenizer cuts a text into words, then encodes each by itself. The pattern
that cuts (GPT-2's) takes letters, digits or other signs in runs, each with one space before it,
and English endings such as 's and 're. It looks ahead no further than to the end of the run, so
all words but the last are closed. The last one is closed too if it is such an ending, which
nothing can be added to. An apostrophe with r, v or l behind it, which are two words so far, may
still become one ending. A space alone belongs to the word that follows, or to nothing.

Where tokens end within the open word. Byte-pair encoding joins the pair of lowest rank, over and
over. No join ever crosses the boundary between two final tokens, so what stands left and right of
it is joined as if it were alone. However an open word w goes on, let b be the last boundary that
does not lie beyond w: the tokens before b are then those of w[:b] alone, and the token after b, if
any, begins with w[b:] and is longer. The vocabulary tells which b there can be. What the encodings
of w[:b] have in common at their beginning, for all these b, is certain. That lets tokens go while
the word is still open, as in Chinese, which writes whole clauses without a space: there the words
of the pattern are the clauses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile

from sled.text.tokenizer import BOS_ID, EOS_ID, TextTokenizer

_SPACES = re.compile(r"\s+")
_ENDINGS = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}
_ENDINGS_BEGUN = {"r", "v", "l"}
# Of an open word whose beginning is certain, so many characters are kept before the rest. A rest
# such as 's that followed !! would otherwise be taken for an ending.
_CONTEXT = 2


class GrowingText:
    """The tokens of `normalize_spaces(text)`, of a text that comes in pieces.

    If the tokenizer normalises texts, the pieces must have been normalised before. All ids that
    `feed` and `finish` return are then `tokenizer.encode(text)`, with single spaces, however the
    text was cut. Only the open word is kept, or the end of it, so a text can have any length.
    What is kept is immutable: `copy.copy` makes a snapshot.

    Attributes:
        num_committed: ids returned so far, `<s>` and `</s>` included.
        blank: True as long as nothing but white space has come.
    """

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self.num_committed = 0
        self.blank = True
        self._tokenizer = tokenizer
        self._tail = ""  # the open word, or the end of it
        self._settled = 0  # bytes at the start of the tail that have been committed
        self._finished = False

    @property
    def open_text(self) -> str:
        """The end of the text that has not become tokens yet."""
        tail = b"" if self._finished else self._tail.encode()[self._settled :]
        return tail.decode(errors="ignore")

    def feed(self, piece: str) -> list[int]:
        """Take the next characters, any number of them.

        Returns:
            The ids that have become certain; the first call's begin with `<s>`.

        Raises:
            ValueError: The text has been finished.
        """
        self._refuse_if_finished()
        piece = _SPACES.sub(" ", piece)
        if self.blank or self._tail.endswith(" "):
            piece = piece.removeprefix(" ")
        self.blank = self.blank and not piece
        self._tail += piece
        words = self._tokenizer.words(self._tail)
        num_open = _num_open([word for word, _ in words])
        ids = self._close(words[: len(words) - num_open])
        if num_open == 1:
            ids += self._settle(words[-1][0])
        return self._commit(ids)

    def finish(self) -> list[int]:
        """End the text.

        Returns:
            The ids still due, `</s>` last.

        Raises:
            ValueError: The text has been finished before.
        """
        self._refuse_if_finished()
        self._finished = True
        self._tail = self._tail.removesuffix(" ")
        return self._commit([*self._close(self._tokenizer.words(self._tail)), EOS_ID])

    def _refuse_if_finished(self) -> None:
        if self._finished:
            raise ValueError("this text is finished: open a new one for more")

    def _commit(self, ids: list[int]) -> list[int]:
        if self.num_committed == 0:
            ids = [BOS_ID, *ids]
        self.num_committed += len(ids)
        return ids

    def _close(self, words: Sequence[tuple[str, int]]) -> list[int]:
        """Take words that are complete off the tail: their ids, less those committed before."""
        ids: list[int] = []
        for word, _ in words:
            ids += [token for token, _ in self._tokenizer.encode_word(word[self._settled :])]
            self._settled = 0
        if words:
            self._tail = self._tail[words[-1][1] :]
        return ids

    def _settle(self, word: str) -> list[int]:
        """What is certain of the open word, the whole of the tail."""
        if self._tail in (" ", "'"):  # part of the next word perhaps, an ending perhaps
            return []
        tokens = self._certain_tokens(word[self._settled :])
        self._settled += sum(len(spelling) for _, spelling in tokens)
        settled = self._tail.encode()[: self._settled].decode(errors="ignore")
        dropped = settled[: max(0, len(settled) - _CONTEXT)]
        self._tail = self._tail[len(dropped) :]
        self._settled -= len(dropped.encode())
        return [token for token, _ in tokens]

    def _certain_tokens(self, part: str) -> list[tuple[int, str]]:
        """The tokens that a word begins with, however it goes on after this part of it."""
        certain = self._tokenizer.encode_word(part)
        for cut in self._tokenizer.open_cuts(part):
            pairs = zip(certain, self._tokenizer.encode_word(part[:cut]), strict=False)
            certain = [ours for ours, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
        return certain


def _num_open(words: Sequence[str]) -> int:
    """How many words at the end of a text can still change."""
    if not words or words[-1] in _ENDINGS:
        return 0
    if len(words) > 1 and words[-2] == "'" and words[-1] in _ENDINGS_BEGUN:
        return 2
    return 1
