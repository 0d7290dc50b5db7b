"""The phonemes that models with the normalisation `english-phonemes` were trained on.

They are those of misaki for American English: IPA, with one letter for each diphthong and
affricate. People write ordinary IPA, so `read_phonemes` takes both.
"""

from __future__ import annotations

import re
import unicodedata

ALPHABET = frozenset("ˈˌəɹsnztɪlkdiɛmpæAɑbŋfITvOᵊʃᵻɔʌɡuʤwɜhjʧθWʊYʒðɐ")

# Ordinary IPA and its spelling here, in the order in which they are replaced.
_IPA = {
    # Marks of length, of syllables and ties, which mean nothing here.
    **dict.fromkeys(("ː", "ˑ", ".", "\u0361", "\u035c", "ʰ", "\u032f"), ""),
    **dict.fromkeys(("n\u0329", "n̩"), "ᵊn"),
    "l\u0329": "ᵊl",
    "m\u0329": "ᵊm",
    "eɪ": "A",
    "ɛɪ": "A",
    "aɪ": "I",
    "oʊ": "O",
    "əʊ": "O",
    "aʊ": "W",
    "ɔɪ": "Y",
    "oɪ": "Y",
    "tʃ": "ʧ",
    "dʒ": "ʤ",
    "ɝ": "ɜɹ",
    "ɚ": "əɹ",
    "r": "ɹ",
    "g": "ɡ",
    "ɾ": "T",
    "ɫ": "l",
    "ɱ": "m",
    "ʔ": "t",
    "ʍ": "w",
    "x": "k",
    "ɨ": "ᵻ",
    # Vowels of British English, and vowels that are written without their second half.
    "ɒ": "ɑ",
    "e": "ɛ",
    "a": "æ",
    "o": "O",
    "'": "ˈ",
    "’": "ˈ",
}
# In British English ɜ is not followed by the r of the spelling; the models know it only with one.
_NURSE = re.compile("ɜ(?!ɹ)")


def read_phonemes(text: str) -> str:
    """Phonemes of one word or several, as the models read them.

    Args:
        text: In ordinary IPA or in that of misaki; words are separated by spaces.

    Raises:
        ValueError: There are none, or signs that are no phonemes of English.
    """
    said = unicodedata.normalize("NFD", text.strip().strip("/"))
    for ipa, ours in _IPA.items():
        said = said.replace(ipa, ours)
    said = " ".join(_NURSE.sub("ɜɹ", said).split())
    unknown = sorted(set(said) - ALPHABET - {" "})
    if unknown or not said.strip("ˈˌ "):
        problem = f"unknown signs {' '.join(unknown)}" if unknown else "no phonemes"
        raise ValueError(
            f"/{text.strip().strip('/')}/ has {problem}: write IPA, such as /həˈloʊ/; the signs "
            f"are {' '.join(sorted(ALPHABET))}, and ordinary IPA for A I O W Y ʧ ʤ"
        )
    return said
