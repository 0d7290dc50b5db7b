"""Text released bit by bit, as someone writes it, to try out streaming without a writer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from sled.text.tokenizer import TextTokenizer

# What decoding puts where bytes are no complete character.
_INCOMPLETE = "\ufffd"


def token_texts(tokenizer: TextTokenizer, text: str) -> list[str]:
    """The text that each token of a text adds; together they are the text.

    A token that ends within a character adds nothing, the one that completes it the whole of it.
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
    if pending:  # the text itself ends with that character
        texts[-1] = tokenizer.decode(pending)
    return texts


def schedule(pieces: Iterable[str], per_second: float) -> Iterator[tuple[float, str]]:
    """When each piece of a text is due, in seconds after the first, and the piece.

    Args:
        pieces: Of a text: itself, for its characters, or `token_texts`.
        per_second: Pieces a second; infinite for all at once.

    Raises:
        ValueError: The rate is not above 0.
    """
    if not per_second > 0:
        raise ValueError(f"{per_second} pieces of text a second: give a rate above 0")
    return ((index / per_second, piece) for index, piece in enumerate(pieces))


def release(
    due: Iterable[tuple[float, str]],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[str]:
    """Yield each piece when it is due, or at once if that is past.

    Args:
        due: From `schedule`; time 0 is when the first piece is asked for.
        clock: Tells the time in seconds.
        sleep: Waits so many seconds.
    """
    start = clock()
    for due_s, piece in due:
        wait_s = start + due_s - clock()
        if wait_s > 0:
            sleep(wait_s)
        if piece:
            yield piece
