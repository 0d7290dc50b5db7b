"""Pronunciations of frequent English words, read from a file in the package.

Pronouncing these words does not load hibari-tts. The words of the file are the frequent words that
the tagger of hibari-tts (Apache-2.0) knows, with their possessives, the words of the LJ Speech
transcripts (public domain), numbers up to 99, and words with several readings.

    python -m sled.normalization.phonemes

pronounces every word of the file again with the installed version of hibari-tts.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sled.normalization.sorted_lines import SortedLines

FILE = Path(__file__).with_suffix(".txt")


@cache
def frequent_words() -> SortedLines:
    """The words of the file with their phonemes; the file is read once."""
    return SortedLines(FILE.read_bytes(), b" ")
