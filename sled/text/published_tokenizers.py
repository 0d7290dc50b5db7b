"""Text tokenizers of published language models, as transformers reads them.

Texts are read as they are, and special tokens such as `[laughter]` may be typed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

from sled.files.hub import is_hub_name
from sled.files.json_object import read_json_object
from sled.text.forms import (
    MERGES_FILE,
    SPECIAL_TOKENS,
    TOKENIZER_FILE,
    VOCAB_FILE,
)
from sled.text.tokenizer import TextTokenizer

_END_OF_TEXT = "<|endoftext|>"


class DividedText(Protocol):
    """A tokenizer that tells where in a text its tokens end."""

    def normalize(self, text: str) -> str:
        """Return the text that is divided into tokens."""
        ...

    def token_ends(self, text: str) -> list[int]:
        """Return the character behind each token of a normalised text."""
        ...


class CorpusTokenizer(DividedText, Protocol):
    """Turns the texts of a corpus into ids.

    Attributes:
        size: Number of ids.
        ends: The ids before and after every text; None where there is none.
    """

    size: int
    ends: tuple[int | None, int | None]

    def ids(self, text: str) -> list[int]:
        """Return the ids of a text."""
        ...

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write its files into a folder."""
        ...


class OwnTokenizer:
    """A tokenizer of `sled tokenizer`."""

    def __init__(self, tokenizer: TextTokenizer, with_ends: bool = False) -> None:
        self.tokenizer, self.size = tokenizer, tokenizer.vocab_size
        ends = (tokenizer.bos_id, tokenizer.eos_id)
        self.ends: tuple[int | None, int | None] = ends if with_ends else (None, None)

    def ids(self, text: str) -> list[int]:
        """Return the ids of a text."""
        encoded = self.tokenizer.encode(text)
        encoded = encoded[len(self.tokenizer.begin) : len(encoded) - len(self.tokenizer.end)]
        return _between(self.ends, encoded)

    def normalize(self, text: str) -> str:
        """Return the text that is divided into tokens."""
        return self.tokenizer.normalize(text)

    def token_ends(self, text: str) -> list[int]:
        """Return the character behind each token of a normalised text."""
        return self.tokenizer.token_ends(text)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write `vocab.json` and `merges.txt` into a folder."""
        self.tokenizer.save_pretrained(folder)


class PublishedTokenizer:
    """A tokenizer of transformers.

    Args:
        tokenizer: The tokenizer.
        with_ends: Whether texts are between the tokens that mark their ends, where it has any.
    """

    def __init__(self, tokenizer: Any, with_ends: bool = False) -> None:
        self.tokenizer, self.size = tokenizer, len(tokenizer)
        ends = (tokenizer.bos_token_id, tokenizer.eos_token_id)
        self.ends = ends if with_ends else (None, None)

    def ids(self, text: str) -> list[int]:
        """Return the ids of a text."""
        encoded: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return _between(self.ends, encoded)

    def normalize(self, text: str) -> str:
        """Return the text as it is."""
        return text

    def token_ends(self, text: str) -> list[int]:
        """Return the character behind each token of a text.

        Raises:
            ValueError: If the tokenizer does not tell.
        """
        if not self.tokenizer.is_fast:
            raise ValueError("only fast tokenizers of transformers tell where tokens end")
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return [end for _, end in encoded["offset_mapping"]]

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write its files into a folder."""
        self.tokenizer.save_pretrained(str(folder))


def _between(ends: tuple[int | None, int | None], ids: list[int]) -> list[int]:
    first, last = ends
    return [one for one in (first, *ids, last) if one is not None]


def load_corpus_tokenizer(
    name: str | os.PathLike[str],
    added: tuple[str, ...] = (),
    *,
    with_ends: bool = False,
    normalization: str | None = None,
) -> CorpusTokenizer:
    """Load a text tokenizer: one of `sled tokenizer`, or one that transformers reads.

    Args:
        name: The folder with its files, or a name on the Hugging Face hub.
        added: Special tokens that are added to a tokenizer of transformers, as for CosyVoice2.
        with_ends: Whether texts are between the tokens that mark their ends, where it has any.
        normalization: How texts are normalised first, for a tokenizer of `sled tokenizer`.

    Raises:
        ValueError: If there is none, or texts are to be normalised for one of transformers.
    """
    folder = Path(name)
    if not folder.is_dir() and not is_hub_name(folder):
        raise ValueError(f"no tokenizer at {folder}: name a folder with tokenizer.json")
    if folder.is_dir() and _is_own(folder):
        return OwnTokenizer(TextTokenizer.from_pretrained(folder, normalization), with_ends)
    if normalization is not None:
        raise ValueError(
            f"{folder} is a tokenizer of transformers, which reads texts as they are, but the "
            f"model's texts are normalised by {normalization!r}: use one of sled tokenizer"
        )
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
    return PublishedTokenizer(tokenizer, with_ends)


def _is_own(folder: Path) -> bool:
    """Whether a folder has a vocabulary of `sled tokenizer`, whose first ids are reserved."""
    if not (folder / VOCAB_FILE).is_file() or (folder / TOKENIZER_FILE).is_file():
        return False
    vocabulary = read_json_object(folder / VOCAB_FILE)
    return [vocabulary.get(token) for token in SPECIAL_TOKENS] == [*range(len(SPECIAL_TOKENS))]
