"""Holding sentences out: a sentence lies on one side, however often and by whomever it is read.

Which side is decided by a hash of the sentence alone, so it needs no memory of other sentences and
stays the same when the corpus grows.
"""

import hashlib
import heapq
import unicodedata
from collections.abc import Iterable

HASH_RANGE = 2**64


def sentence_key(text: str) -> str:
    """What two spellings of one sentence have in common: letters, marks and digits, case folded.

    Text without any of these is its own key.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(char for char in folded if unicodedata.category(char)[0] in "LMN")
    return kept or text


def sentence_hash(text: str, seed: int) -> int:
    """A number below HASH_RANGE, drawn by seed and the same for all spellings of a sentence."""
    digest = hashlib.blake2b(f"{seed}/{sentence_key(text)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def share_threshold(share: float) -> int:
    """The number below which lies about this share of all sentences."""
    return round(share * HASH_RANGE)


def count_threshold(hashes: Iterable[int], count: int) -> int:
    """The least number below which lie `count` of the hashes, more only if the last is repeated.

    Args:
        hashes: one per utterance; only `count` of them are held at a time.
        count: 1 or more.
    """
    smallest = heapq.nsmallest(count, hashes)
    return smallest[-1] + 1 if smallest else 0
