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

from sled.normalization.characters import without_accents
from sled.normalization.pronouncer import load_pronouncer
from sled.normalization.pronunciations import FILE, frequent_words
from sled.normalization.rules import LETTER, LETTER_GAP

_WORD = re.compile(
    # A letter that is said by its name, perhaps in the plural.
    rf"(?P<letter>{LETTER}){LETTER_GAP}(?P<ending>'s)?"
    rf"|(?P<word>{LETTER}+(?:['-]{LETTER}+)*)"
)
_GAPS = re.compile(rf"{LETTER_GAP}(?=\w)")
_LETTER_A = "ˈA"  # its name does not sound like the article

# Sounds that are no words, and words with accents that the network of hibari-tts gets wrong.
_SOUNDS = [
    (re.compile("s+h+"), "ʃ"),
    (re.compile("h+m+|mm+"), "hˈʌm"),
    (re.compile("m+h+m+"), "əmhˈʌm"),
    (re.compile("p+f+t*"), "pft"),
    (re.compile("p+s+t+"), "pst"),
    (re.compile("b+r{2,}"), "bɹ"),
    (re.compile("g+r{2,}"), "ɡɹ"),
    (re.compile("z{2,}"), "z"),
    (re.compile("t+s+k+"), "tɪsk"),
    (re.compile("a+h+"), "ˈɑ"),
    (re.compile("o{2,}h+"), "ˈu"),
    (re.compile("a+r+g+h+"), "ˈɑɹɡ"),
    (re.compile("u+g+h+"), "ˈʌɡ"),
]
_ACCENTED = {
    "à": "ˈɑ",
    "andré": "ˈɑndɹA",
    "andrés": "ɑndɹˈAs",
    "chloé": "klˈOi",
    "chloë": "klˈOi",
    "crème": "kɹˈɛm",
    "curaçao": "kjˈʊɹəsW",
    "décor": "dAkˈɔɹ",
    "déjà": "dˈAʒɑ",
    "dvořák": "dəvˈɔɹʒɑk",
    "jalapeño": "hˌɑləpˈAnjO",
    "jalapeños": "hˌɑləpˈAnjOz",
    "josé": "hOzˈA",
    "noël": "nOˈɛl",
    "pokémon": "pˈOkAmˌɑn",
    "piñata": "pinjˈɑTə",
    "protégé": "pɹˈOTəʒˌA",
    "señor": "sAnjˈɔɹ",
    "señorita": "sˌAnjɔɹˈiTə",
    "voilà": "vwɑlˈɑ",
    "zoë": "zˈOi",
}
_ENDS_LIKE_CAFE = re.compile("ée?s?$")

# The network reads no more letters of a word than this.
_MAX_LETTERS = 24
_PART = re.compile(f"[^-]{{1,{_MAX_LETTERS}}}")

_loading = Lock()


def in_phonemes(said: str) -> str:
    """Replace the words of a normalised text, written with LETTER_GAP, by their phonemes."""
    text = _WORD.sub(_pronounce_match, said.lower())
    return _GAPS.sub(" ", text).replace(LETTER_GAP, "")


def _pronounce_match(match: re.Match[str]) -> str:
    if word := match["word"]:
        return pronounce(word)
    letter, ending = match["letter"], match["ending"] or ""
    if letter == "a" and not ending:
        return _LETTER_A + LETTER_GAP
    return pronounce(letter + ending) + LETTER_GAP


@lru_cache(maxsize=1 << 16)
def pronounce(word: str) -> str:
    """The phonemes of a word in small letters, with hyphens and apostrophes only inside it."""
    if word.isascii():
        known = frequent_words().find(word)
        if known and known != word:
            return known
        sounds = (sound for pattern, sound in _SOUNDS if pattern.fullmatch(word))
        return next(sounds, None) or pronounce_with_hibari(word)
    plain = without_accents(word)
    known = None if _ENDS_LIKE_CAFE.search(word) else frequent_words().find(plain)
    return _ACCENTED.get(word) or known or pronounce_with_hibari(word)


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
