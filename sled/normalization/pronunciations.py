"""Pronunciations of common English words, read from a file in the package.

Loading the lexicon and the tagger of hibari-tts takes about half a second and 130 MB. The file
holds what they return for the most frequent words, so most texts are spoken without them. Its
words are those of the main lexicon of hibari-tts (Apache-2.0), the frequent words that its tagger
knows, the words of the LJ Speech transcripts (public domain), numbers up to 99, and possessives.

    python -m sled.normalization.pronunciations

pronounces every word of the file again with the installed version of hibari-tts.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_suffix(".txt")


class PronunciationTable:
    """Finds words in sorted lines `word phonemes`, without taking the lines apart.

    Args:
        content: The lines in UTF-8, sorted by the bytes of the words.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content

    def find(self, word: str) -> str | None:
        """The phonemes of a word; None if it is not in the table."""
        key = word.encode()
        low, high = 0, len(self._content)  # the line is in here, and both are starts of lines
        while low < high:
            middle = self._content.rfind(b"\n", low, (low + high) // 2) + 1 or low
            end = self._content.index(b"\n", middle)
            found, _, phonemes = self._content[middle:end].partition(b" ")
            if found == key:
                return phonemes.decode()
            low, high = (end + 1, high) if found < key else (low, middle)
        return None

    def words(self) -> list[str]:
        """All words, in order."""
        return [line.partition(" ")[0] for line in self._content.decode().splitlines()]


@cache
def common_words() -> PronunciationTable:
    """The table that comes with the package; it is read once."""
    return PronunciationTable(FILE.read_bytes())


def table_of(pronunciations: Iterable[tuple[str, str]]) -> bytes:
    """The content of a table with these words and their phonemes."""
    lines = sorted((word.encode(), phonemes.encode()) for word, phonemes in pronunciations)
    return b"".join(word + b" " + phonemes + b"\n" for word, phonemes in lines)


def main() -> None:
    """Pronounce all words of the table again."""
    from sled.normalization.phonemes import pronounce_with_hibari

    words = common_words().words()
    FILE.write_bytes(table_of((word, pronounce_with_hibari(word)) for word in words))


if __name__ == "__main__":
    main()
