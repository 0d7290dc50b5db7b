"""Releases text piece by piece at typing speed, to test streaming."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from sled.text.tokenizer import TextTokenizer

# The replacement character, which decoding inserts for an incomplete character.
_INCOMPLETE = "\ufffd"


def token_texts(tokenizer: TextTokenizer, text: str) -> list[str]:
    """Return the text that each token of a text adds. Their concatenation is the text.

    A token that ends within a character adds nothing. The token that completes the character adds
    all of it.
    """
    texts: list[str] = []
    pending: list[int] = []
    words = [word for word, _ in tokenizer.words(text)]
    for token in (token for word in words for token, _ in tokenizer.encode_word(word)):
        pending.append(token)
        decoded = tokenizer.decode(pending)
        if decoded.endswith(_INCOMPLETE):
            texts.append("")
        else:
            texts.append(decoded)
            pending = []
    if pending:  # the text itself ends with the replacement character
        texts[-1] = tokenizer.decode(pending)
    return texts


def schedule(pieces: Iterable[str], per_second: float) -> Iterator[tuple[float, str]]:
    """Return the due time of each piece, in seconds after the first, with the piece.

    Args:
        pieces: Pieces of a text: the string itself gives characters, `token_texts` gives tokens.
        per_second: Pieces per second. Infinity: all at once.

    Raises:
        ValueError: If the rate is not above 0.
    """
    if not per_second > 0:
        raise ValueError(f"{per_second} pieces of text per second: give a rate above 0")
    return ((index / per_second, piece) for index, piece in enumerate(pieces))


def release(
    due: Iterable[tuple[float, str]],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[str]:
    """Yield each piece when it is due, or at once if it is late.

    Args:
        due: Due times and pieces from `schedule`. Time 0 is the first call of `next`.
        clock: Returns the time in seconds.
        sleep: Waits for a number of seconds.
    """
    start = clock()
    for due_s, piece in due:
        wait_s = start + due_s - clock()
        if wait_s > 0:
            sleep(wait_s)
        if piece:
            yield piece
