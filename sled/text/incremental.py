"""Tokens of a growing text, each as soon as no later character can change it.

When a text grows, two things can still change in its tokens.

Where words end. The tokenizer splits a text into words, then encodes each word by itself. GPT-2's
pattern takes runs of letters, of digits or of other signs, each with one
space before it, and English endings such as 's and 're. It looks ahead only to the end of a run,
so all words but the last are closed. The last word is closed too if it is such an ending, since
nothing can be appended to an ending. An apostrophe followed by r, v or l is two words so far, which
may still become one ending. A single space at the end belongs to the next word, or to nothing.
In Qwen2's pattern any single sign may precede a run of letters, and only the last word is open; the
last character is held back as long as the next one may be composed with it. Where a special token
that may be typed may have begun, the text before it waits, as it would be cut off there.

Where tokens end within the open word. Byte-pair encoding merges the pair of lowest rank, again and
again. No merge crosses the boundary between two final tokens, so the text on each side of it is
merged as if it were alone. However an open word w continues, let b be the last boundary that is not
beyond w. Then the tokens before b are those of w[:b] alone, and the token after b, if any, begins
with w[b:] and is longer. The vocabulary limits which b are possible. The common beginning of the
encodings of w[:b] for all these b is certain. So tokens are returned while the word is still open,
as is needed for Chinese, which writes whole clauses without a space: there the words of the pattern
are the clauses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from unicodedata import normalize

from sled.text.forms import compose
from sled.text.tokenizer import TextTokenizer

_SPACES = re.compile(r"\s+")
# When the beginning of an open word is certain, this many characters of it are kept before the
# rest. Otherwise a rest such as 's after !! would be mistaken for an ending.
_CONTEXT = 2


class IncrementalTokenizer:
    """Encodes a text that comes in pieces, as `tokenizer.encode(normalize_spaces(text))`.

    If the tokenizer normalises texts, the pieces must be normalised already. The ids that `feed`
    and `finish` return, joined, do not depend on how the text was cut. Only the open word, or the
    end of it, is kept, so a text can have any length. The state is made of immutable values, so
    `copy.copy` makes a snapshot.

    Attributes:
        num_committed: Number of ids returned so far, `<s>` and `</s>` included.
        blank: True while all of the text, or of its newest part, is white space.
    """

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self.num_committed = 0
        self.blank = True
        self._tokenizer = tokenizer
        self._held = ""  # characters that the next ones may be composed with
        self._tail = ""  # the open word, or the end of it
        self._settled = 0  # bytes at the start of the tail that have been committed
        self._finished = False

    @property
    def open_text(self) -> str:
        """The end of the text that has no tokens yet."""
        tail = b"" if self._finished else self._tail.encode()[self._settled :]
        return tail.decode(errors="ignore") + self._held

    def feed(self, piece: str) -> list[int]:
        """Take the next characters, any number of them.

        Returns:
            The ids that are now certain; those of the first call begin with `<s>`.

        Raises:
            ValueError: The text was finished before.
        """
        self._refuse_if_finished()
        piece = _SPACES.sub(" ", piece)
        if self.blank or (self._tail.endswith(" ") and not self._held):
            piece = piece.removeprefix(" ")
        self.blank = self.blank and not piece
        if self._tokenizer.form.composes:
            piece, self._held = compose(self._held, piece)
        return self._commit(self._append(piece))

    def _append(self, piece: str) -> list[int]:
        """Append to the tail; returns the ids that are now certain."""
        form = self._tokenizer.form
        self._tail += piece
        words = self._tokenizer.words(self._tail)
        begun = form.typed_begun(self._tail)
        if begun < len(self._tail):  # what is before it may be cut off there
            return self._close([word for word in words[:-1] if word[1] <= begun])
        num_open = form.num_open([word for word, _ in words])
        ids = self._close(words[: len(words) - num_open])
        if num_open == 1:
            ids += self._settle(words[-1][0])
        return ids

    def finish(self) -> list[int]:
        """End the text.

        Returns:
            The remaining ids, `</s>` last.

        Raises:
            ValueError: The text was finished before.
        """
        ids = self._end_words()
        self._finished = True
        return self._commit(ids + self._tokenizer.end)

    def divide(self) -> list[int]:
        """End a part of the text: what follows it is encoded as if it were a text of its own.

        Returns:
            The remaining ids of the part.

        Raises:
            ValueError: The text was finished before.
        """
        ids = self._end_words()
        self.blank = True
        return self._commit(ids)

    def _end_words(self) -> list[int]:
        """End the open word; returns its ids that are not committed yet."""
        self._refuse_if_finished()
        ids = self._append(normalize("NFC", self._held)) if self._held else []
        self._held = ""
        self._tail = self._tail.removesuffix(" ")
        return ids + self._close(self._tokenizer.words(self._tail))

    def _refuse_if_finished(self) -> None:
        if self._finished:
            raise ValueError("this text is finished: open a new one for more text")

    def _commit(self, ids: list[int]) -> list[int]:
        if self.num_committed == 0:
            ids = self._tokenizer.begin + ids
        self.num_committed += len(ids)
        return ids

    def _close(self, words: Sequence[tuple[str, int]]) -> list[int]:
        """Remove complete words from the tail; returns their ids that are not committed yet."""
        ids: list[int] = []
        for word, _ in words:
            ids += [token for token, _ in self._tokenizer.encode_word(word[self._settled :])]
            self._settled = 0
        if words:
            self._tail = self._tail[words[-1][1] :]
        return ids

    def _settle(self, word: str) -> list[int]:
        """The ids of the open word, which is the whole tail, that are certain."""
        if self._tail in (" ", "'"):  # may be part of the next word, or of an ending
            return []
        tokens = self._certain_tokens(word[self._settled :])
        self._settled += sum(len(spelling) for _, spelling in tokens)
        settled = self._tail.encode()[: self._settled].decode(errors="ignore")
        dropped = settled[: max(0, len(settled) - _CONTEXT)]
        self._tail = self._tail[len(dropped) :]
        self._settled -= len(dropped.encode())
        return [token for token, _ in tokens]

    def _certain_tokens(self, part: str) -> list[tuple[int, str]]:
        """The tokens at the beginning of a word that starts with this part, however it goes on."""
        certain = self._tokenizer.encode_word(part)
        for cut in self._tokenizer.open_cuts(part):
            pairs = zip(certain, self._tokenizer.encode_word(part[:cut]), strict=False)
            certain = [ours for ours, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
        return certain
