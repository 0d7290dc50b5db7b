"""Text tokenizers of published language models, as transformers reads them.

Texts are read as they are, and special tokens such as `[laughter]` may be typed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

from sled.files.json_object import read_json_object
from sled.text.tokenizer import MERGES_FILE, SPECIAL_TOKENS, VOCAB_FILE, TextTokenizer

TOKENIZER_FILE, TOKENIZER_SETTINGS = "tokenizer.json", "tokenizer_config.json"

# What CosyVoice2 adds to the vocabulary of Qwen2, in the order of the ids.
COSYVOICE2_TOKENS = (
    *("<|im_start|>", "<|im_end|>", "<|endofprompt|>", "[breath]", "<strong>", "</strong>"),
    *("[noise]", "[laughter]", "[cough]", "[clucking]", "[accent]", "[quick_breath]"),
    *("<laughter>", "</laughter>", "[hissing]", "[sigh]", "[vocalized-noise]", "[lipsmack]"),
    "[mn]",
)
_END_OF_TEXT = "<|endoftext|>"


class CorpusTokenizer(Protocol):
    """Turns the texts of a corpus into ids."""

    def ids(self, text: str) -> list[int]:
        """Return the ids of a text, without those that mark its ends."""
        ...

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write its files into a folder."""
        ...


class OwnTokenizer:
    """A tokenizer of `sled tokenizer`."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self.tokenizer = tokenizer

    def ids(self, text: str) -> list[int]:
        """Return the ids of a text, without those that mark its ends."""
        first, last = len(self.tokenizer.begin), len(self.tokenizer.end)
        encoded = self.tokenizer.encode(text)
        return encoded[first : len(encoded) - last]

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write `vocab.json` and `merges.txt` into a folder."""
        self.tokenizer.save_pretrained(folder)


class PublishedTokenizer:
    """A tokenizer of transformers.

    Args:
        tokenizer: The tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def ids(self, text: str) -> list[int]:
        """Return the ids of a text, without those that mark its ends."""
        encoded: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return encoded

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write its files into a folder."""
        self.tokenizer.save_pretrained(str(folder))


def load_corpus_tokenizer(folder: Path, added: tuple[str, ...] = ()) -> CorpusTokenizer:
    """Load a text tokenizer: one of `sled tokenizer`, or one that transformers reads.

    Args:
        folder: The folder with its files.
        added: Special tokens that are added to a tokenizer of transformers, as for CosyVoice2.

    Raises:
        ValueError: If there is none.
    """
    if not folder.is_dir():
        raise ValueError(f"no tokenizer at {folder}: name a folder with tokenizer.json")
    if _is_own(folder):
        return OwnTokenizer(TextTokenizer.from_pretrained(folder))
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{folder} holds no tokenizer that can be read ({reason}): name a folder with "
            f"{TOKENIZER_FILE}, or with {VOCAB_FILE} and {MERGES_FILE}"
        ) from error
    if added:
        tokenizer.add_special_tokens(
            {
                "eos_token": _END_OF_TEXT,
                "pad_token": _END_OF_TEXT,
                "additional_special_tokens": list(added),
            }
        )
    return PublishedTokenizer(tokenizer)


def _is_own(folder: Path) -> bool:
    """Whether a folder has a vocabulary of `sled tokenizer`, whose first ids are reserved."""
    if not (folder / VOCAB_FILE).is_file() or (folder / TOKENIZER_FILE).is_file():
        return False
    vocabulary = read_json_object(folder / VOCAB_FILE)
    return [vocabulary.get(token) for token in SPECIAL_TOKENS] == [*range(len(SPECIAL_TOKENS))]
