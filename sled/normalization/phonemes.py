"""English text in phonemes, for models that need not learn how English is spelled.

Each word that `sled.normalization.english` returns is replaced by its pronunciation, in the IPA of
the misaki family, which writes a diphthong as one letter (hello is həlˈO). Pronunciations come
from a table of frequent words, and for other words from hibari-tts: from its lexicons, or from its
small network for words that the lexicons do not have. Each word is pronounced by itself, so that
the output for a text never changes when the text grows. The price is that a word with several
readings, such as read or live, always gets the same one, and the is always ðə.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from threading import Lock

from sled.normalization.english import EnglishNormalizer
from sled.normalization.pronouncer import load_pronouncer
from sled.normalization.pronunciations import FILE, frequent_words
from sled.normalization.tables import LETTER_GAP

# All letters that are left in English words without their accents, and that the network knows.
_LETTER = "[a-zæœøßðþłđ]"
_WORD = re.compile(
    # The letter A, whose name does not sound like the article, as in F.A.Q.
    rf"(?P<letter_a>a(?={LETTER_GAP})|(?<={LETTER_GAP})a(?![\w'-]))"
    # A word. Letters next to those of another script are left as they are.
    rf"|(?<!\w)(?P<word>{_LETTER}+(?:['-]{_LETTER}+)*)(?!\w)"
)
_LETTER_A = "ˈA"

# The network reads no more letters of a word than this.
_MAX_LETTERS = 24
_PART = re.compile(f"[^-]{{1,{_MAX_LETTERS}}}")

_loading = Lock()


def phoneme_normalizer() -> EnglishNormalizer:
    """Open a normalizer for a text that comes in pieces.

    Its output has as many words as that of `EnglishNormalizer`, with the same punctuation around
    them. What is not an English word, such as a word in another script, is left as it is.
    """
    return EnglishNormalizer(in_phonemes)


def in_phonemes(said: str) -> str:
    """Replace the words of a normalised text, written with LETTER_GAP, by their phonemes."""
    text = _WORD.sub(_pronounce_match, said.lower())
    return text.replace(LETTER_GAP + " ", " ").replace(LETTER_GAP, " ")


def _pronounce_match(match: re.Match[str]) -> str:
    return _LETTER_A if match["letter_a"] else pronounce(match["word"])


@lru_cache(maxsize=1 << 16)
def pronounce(word: str) -> str:
    """The phonemes of a word in small letters, with hyphens and apostrophes only inside it."""
    return frequent_words().find(word) or pronounce_with_hibari(word)


def pronounce_with_hibari(word: str) -> str:
    """The same, never from the table of frequent words."""
    parts = [word] if len(word) <= _MAX_LETTERS else _PART.findall(word)
    # Spaces and dashes that hibari puts between the parts of a word do not start a new word.
    return "".join(filter(str.isalpha, "".join(map(_hibari(), parts)))) or word


def _hibari() -> Callable[[str], str]:
    """The function of hibari-tts from words to phonemes; it is loaded once, by the first caller."""
    with _loading:
        return _load_hibari()


_load_hibari = cache(load_pronouncer)


def main() -> None:
    """Pronounce all words of the table of frequent words again, and write it."""
    words = list(frequent_words().keys())
    lines = sorted((word.encode(), pronounce_with_hibari(word).encode()) for word in words)
    FILE.write_bytes(b"".join(b"%s %s\n" % line for line in lines))


if __name__ == "__main__":
    main()
