"""English text in phonemes, for models that need not learn how English is spelled.

Every word that `sled.normalization.english` says is written as it sounds, in the IPA of the
misaki family with one letter for a diphthong (hello is həlˈO), by the lexicon and, for what is not
in it, the small network of hibari-tts. Words are pronounced one by one, so that what has come out
stays true however the text goes on. The price is that a word which has several readings, such as
read or live, has always the same one, and the is always ðə.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from threading import Lock

from sled.normalization.english import EnglishNormalizer
from sled.normalization.tables import LETTER_GAP

# All letters that English words have left, once their accents are gone, and the network knows.
_LETTER = "[a-zæœøßðþłđ]"
_WORD = re.compile(
    # The letter, whose name is not the article's sound, as in F.A.Q.
    rf"(?P<letter_a>a(?={LETTER_GAP})|(?<={LETTER_GAP})a(?![\w'-]))"
    # No part of a word in another script: that one stays as it is.
    rf"|(?<!\w)(?P<word>{_LETTER}+(?:['-]{_LETTER}+)*)(?!\w)"
)
_LETTER_A = "ˈA"

# The network reads no more letters of a word.
_MAX_LETTERS = 24
_PART = re.compile(f"[^-]{{1,{_MAX_LETTERS}}}")

_loading = Lock()


def phoneme_normalizer() -> EnglishNormalizer:
    """Begin to normalise a text that comes in pieces.

    It has as many words as `EnglishNormalizer` makes of it, with the same punctuation around them.
    What is no English word, such as one in another script, stays as it is there.
    """
    _pronouncer()
    return EnglishNormalizer(in_phonemes)


def in_phonemes(said: str) -> str:
    """Words that are said, in their own case and with LETTER_GAP, in phonemes."""
    text = _WORD.sub(_pronounce_match, said.lower())
    return text.replace(LETTER_GAP + " ", " ").replace(LETTER_GAP, " ")


def _pronounce_match(match: re.Match[str]) -> str:
    return _LETTER_A if match["letter_a"] else pronounce(match["word"])


@lru_cache(maxsize=1 << 16)
def pronounce(word: str) -> str:
    """The phonemes of one word, in small letters, with hyphens and apostrophes only within it."""
    parts = [word] if len(word) <= _MAX_LETTERS else _PART.findall(word)
    # Joints that the pronouncer marks by a space or a dash are no words of their own.
    return "".join(filter(str.isalpha, "".join(map(_pronouncer(), parts)))) or word


def _pronouncer() -> Callable[[str], str]:
    """Gives the phonemes of a word; loaded once, whoever asks first."""
    with _loading:
        return _load_pronouncer()


@cache
def _load_pronouncer() -> Callable[[str], str]:
    # Not before it is needed: it takes a while.
    from hibari.g2p import G2P
    from hibari.g2p.oov import OOV

    # The network is loaded now, not when the first unknown word is being said.
    g2p = G2P(oov=OOV())
    return lambda word: g2p(word, normalize_text=False)
