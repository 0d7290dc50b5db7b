"""Words written together, with capital letters inside: getUserName, NullPointerException."""

from __future__ import annotations

import re

from sled.normalization.pronunciations import frequent_words

# A small letter begins the first, capital letters the others; or there are at least two of them.
_SMALL_FIRST = re.compile(r"[a-z]{2,}(?:[A-Z][a-z]+|[A-Z]{2,}(?![a-z])|[A-Z]$)+")
_CAPITAL_FIRST = re.compile(r"(?!Mac)(?:[A-Z][a-z]+){2,}")
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_MIN_WORD = 3


def parts_of(text: str) -> list[str]:
    """The words of a compound; the text itself if it is none.

    Two words with capitals are names more often (YouTube, LeBron), so they are apart only if both
    are frequent words.
    """
    if text[1:].islower() or text.isupper() or not text.isascii():
        return [text]
    if _SMALL_FIRST.fullmatch(text):
        return _PARTS.findall(text)
    if not _CAPITAL_FIRST.fullmatch(text):
        return [text]
    parts, find = _PARTS.findall(text), frequent_words().find
    if len(parts) == 2:
        is_name = find(text.lower()) or any(len(part) < _MIN_WORD for part in parts)
        return [text] if is_name or not all(find(part.lower()) for part in parts) else parts
    return parts
