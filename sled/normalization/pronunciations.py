"""Pronunciations of frequent English words, read from a file in the package.

Pronouncing these words does not load hibari-tts. The words of the file are the frequent words that
the tagger of hibari-tts (Apache-2.0) knows, with their possessives, the words of the LJ Speech
transcripts (public domain), numbers up to 99, and words with several readings.

    python -m sled.normalization.pronunciations

pronounces every word of the file again with the installed version of hibari-tts.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from sled.normalization.sorted_lines import SortedLines

FILE = Path(__file__).with_suffix(".txt")


@cache
def frequent_words() -> SortedLines:
    """The words of the file with their phonemes; the file is read once."""
    return SortedLines(FILE.read_bytes(), b" ")


def write_table(pronunciations: Iterable[tuple[str, str]]) -> None:
    """Write words and their phonemes into the file."""
    lines = sorted((word.encode(), phonemes.encode()) for word, phonemes in pronunciations)
    FILE.write_bytes(b"".join(b"%s %s\n" % line for line in lines))


def main() -> None:
    """Pronounce all words of the file again."""
    from sled.normalization.phonemes import pronounce_with_hibari

    words = frequent_words().keys()
    write_table((word, pronounce_with_hibari(word)) for word in words)


if __name__ == "__main__":
    main()
