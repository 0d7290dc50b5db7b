"""Held-out sentences: all utterances of a sentence are in the same split.

A hash of the sentence decides the split, so no other sentences need to be remembered, and the split
of a sentence does not change when the corpus grows.
"""

import hashlib
import heapq
import unicodedata
from collections.abc import Iterable

HASH_RANGE = 2**64


def sentence_key(text: str) -> str:
    """What the spellings of a sentence have in common: case-folded letters, marks and digits.

    A text without any of these is its own key.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(char for char in folded if unicodedata.category(char)[0] in "LMN")
    return kept or text


def sentence_hash(text: str, seed: int) -> int:
    """A number below HASH_RANGE that depends on the seed and the key of the sentence."""
    digest = hashlib.blake2b(f"{seed}/{sentence_key(text)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def share_threshold(share: float) -> int:
    """The number below which about this share of all hashes lies."""
    return round(share * HASH_RANGE)


def count_threshold(hashes: Iterable[int], count: int) -> int:
    """The least number below which `count` of the hashes lie; more if the last one is repeated.

    Args:
        hashes: One per utterance; only `count` of them are kept in memory.
        count: 1 or more.
    """
    smallest = heapq.nsmallest(count, hashes)
    return smallest[-1] + 1 if smallest else 0
