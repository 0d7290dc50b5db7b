"""Looks up keys in sorted lines of text without parsing them."""

from __future__ import annotations


class SortedLines:
    """A table of lines, each a key, a separator and a value.

    Loading it takes no time, and it needs no more memory than its text.

    Args:
        content: The lines in UTF-8, each with a line feed at its end, sorted by their keys.
        separator: The bytes between key and value, which no key contains.
    """

    def __init__(self, content: bytes, separator: bytes) -> None:
        self._content, self._separator = content, separator

    def find(self, key: str) -> str | None:
        """The value of a key; None if the table does not have the key."""
        wanted = key.encode()
        low, high = 0, len(self._content)  # starts of lines; the key is between them
        while low < high:
            middle = self._content.rfind(b"\n", low, (low + high) // 2) + 1 or low
            end = self._content.index(b"\n", middle)
            found, _, value = self._content[middle:end].partition(self._separator)
            if found == wanted:
                return value.decode()
            low, high = (end + 1, high) if found < wanted else (low, middle)
        return None

    def keys(self) -> list[str]:
        """All keys, in order."""
        separator = self._separator.decode()
        return [line.partition(separator)[0] for line in self._content.decode().splitlines()]
