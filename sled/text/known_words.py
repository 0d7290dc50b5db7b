"""The words of a model that was trained on few: others are left out when it speaks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sled.normalization import SpokenWord, text_of

# Words left out that are named, at most.
MAX_NAMED = 20


class KnownWords:
    """Leaves words out of the output of a normalizer that a model does not know.

    The state is made of immutable values, so `copy.copy` makes a snapshot.

    Args:
        words: The words that the model knows, as they are normalised. None: all words.

    Attributes:
        left_out: Words that were left out, each once.
    """

    def __init__(self, words: Iterable[str] | None) -> None:
        self._words = None if words is None else frozenset(words)
        self._open: tuple[SpokenWord, ...] = ()  # the parts of a word that may go on
        self.left_out: tuple[str, ...] = ()

    def feed(self, words: Sequence[SpokenWord]) -> list[SpokenWord]:
        """Take the next words or parts of words; returns those that are to be said."""
        if self._words is None:
            return list(words)
        said: list[SpokenWord] = []
        for word in words:
            self._open = (*self._open, word)
            if word.text[-1:].isspace():
                said += self.finish()
        return said

    def finish(self) -> list[SpokenWord]:
        """End the word; returns the rest."""
        parts, self._open = self._open, ()
        text = text_of(parts).strip()
        core = text.strip("".join(one for one in set(text) if not one.isalnum()))
        if self._words is None or not core or core in self._words:
            return list(parts)
        if core not in self.left_out and len(self.left_out) < MAX_NAMED:
            self.left_out = (*self.left_out, core)
        return []
