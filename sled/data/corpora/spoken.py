"""Which texts of a corpus a model with a normalisation can speak at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sled.data.alignment.spoken_times import is_letter
from sled.data.corpora.items import Item, Rejected, Utterance, is_encodable
from sled.normalization import normalize


def without_unspoken(items: Iterable[Item], text_normalization: str | None) -> Iterator[Item]:
    """Yield items; those of whose text nothing is said, such as "♪ ♪", are rejected.

    Args:
        items: The items of a corpus.
        text_normalization: Normalisation of texts, see `sled.normalization`.
    """
    for item in items:
        if isinstance(item, Utterance) and _says_nothing(item.text, text_normalization):
            item = Rejected(item.id, "empty_text", f"nothing of {item.text.strip()!r} is said")
        yield item


def _says_nothing(text: str, text_normalization: str | None) -> bool:
    """Whether it is so; not if it is blank or broken, which the checks tell."""
    if not text.strip() or not is_encodable(text):
        return False
    return not any(map(is_letter, normalize(text, text_normalization)))
