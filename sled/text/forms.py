"""The forms of byte-level tokenizers: how a text becomes the words that are encoded one by one.

`OWN` is the form of SLED's checkpoints. Published language models of text have others: their
special tokens may be typed, and Qwen2's divides texts in another way and composes accents (NFC).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.normalizers import NFC
from tokenizers.pre_tokenizers import ByteLevel, PreTokenizer, Split
from tokenizers.pre_tokenizers import Sequence as PreTokenizers

from sled.files.json_object import read_json_object

VOCAB_FILE, MERGES_FILE = "vocab.json", "merges.txt"
TOKENIZER_FILE, TOKENIZER_SETTINGS = "tokenizer.json", "tokenizer_config.json"
SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")  # of `OWN`, in the order of their ids

# How Qwen2 divides texts: its tokenizer.json has this pattern.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_ENDINGS = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}
_ENDINGS_BEGUN = {"r", "v", "l"}  # in GPT-2's pattern they are words of their own so far


@dataclass(frozen=True)
class TextForm:
    """How a tokenizer reads texts.

    Attributes:
        pattern: Divides texts into words. None: GPT-2's.
        composes: Whether characters are composed first (NFC).
        typed: Ids of the special tokens that may be typed, by spelling.
        reserved: The first ids, which stand for no text.
    """

    pattern: str | None = None
    composes: bool = False
    typed: Mapping[str, int] = field(default_factory=dict)
    reserved: int = 0

    def tokenizer(self, model: BPE) -> Tokenizer:
        """Make a tokenizer of a vocabulary with merges.

        Raises:
            ValueError: If the special tokens do not have ids of their own.
        """
        tokenizer = Tokenizer(model)
        tokenizer.pre_tokenizer = self._splitter()
        tokenizer.decoder = ByteLevelDecoder()
        if self.composes:
            tokenizer.normalizer = NFC()
        ordered = sorted(self.typed, key=self.typed.__getitem__)
        tokenizer.add_special_tokens([AddedToken(one, normalized=False) for one in ordered])
        for token in ordered:
            if (found := tokenizer.token_to_id(token)) != self.typed[token]:
                raise ValueError(f"special token {token} has id {found}, not {self.typed[token]}")
        return tokenizer

    def _splitter(self) -> PreTokenizer:
        if self.pattern is None:
            return ByteLevel(add_prefix_space=False)
        split = Split(Regex(self.pattern), "isolated")
        return PreTokenizers([split, ByteLevel(add_prefix_space=False, use_regex=False)])

    @cached_property
    def _typed_pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.typed, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)))

    def parts(self, text: str) -> list[tuple[str, int, bool]]:
        """Divide a text at typed special tokens.

        Returns:
            Each part, where it starts, and whether it is a special token.
        """
        if not self.typed:
            return [(text, 0, False)]
        parts, start = [], 0
        for match in self._typed_pattern.finditer(text):
            parts.append((text[start : match.start()], start, False))
            parts.append((match[0], match.start(), True))
            start = match.end()
        return [*parts, (text[start:], start, False)]

    def typed_begun(self, text: str) -> int:
        """Return where a special token begins that the text may end within; else its length."""
        longest = max(map(len, self.typed), default=0)
        for start in range(max(0, len(text) - longest + 1), len(text)):
            end = text[start:]
            if any(len(one) > len(end) and one.startswith(end) for one in self.typed):
                return start
        return len(text)

    def num_open(self, words: Sequence[str]) -> int:
        """Return the number of words at the end of a text that can still change."""
        if not words or words[-1].lower() in _ENDINGS or words[-1] in self.typed:
            return 0
        by_gpt2 = self.pattern is None
        if by_gpt2 and len(words) > 1 and words[-2] == "'" and words[-1] in _ENDINGS_BEGUN:
            return 2
        return 1


OWN = TextForm(reserved=len(SPECIAL_TOKENS))
"""Special tokens have ids 0 to 3. They cannot be typed."""


def compose(held: str, piece: str) -> tuple[str, str]:
    """Compose the characters of a growing text (NFC).

    Args:
        held: What the last call held back.
        piece: The next characters.

    Returns:
        The composed characters that are certain, and those that the next ones may change.
    """
    text = held + piece
    if text.endswith(" "):  # nothing is composed with a space before it
        return unicodedata.normalize("NFC", text), ""
    for start in range(len(text) - 1, 0, -1):
        before, character = text[:start], text[start]
        if unicodedata.combining(character):
            continue
        apart = unicodedata.normalize("NFC", before) + unicodedata.normalize("NFC", character)
        if unicodedata.normalize("NFC", before + character) == apart:
            return unicodedata.normalize("NFC", before), text[start:]
    return "", text


def read_tokenizer(files: Mapping[str, Path], added: Sequence[str] = ()) -> tuple[BPE, TextForm]:
    """Read a vocabulary with merges, and find out its form.

    Args:
        files: The paths of those files that there are, by name: `tokenizer.json`, or `vocab.json`
            and `merges.txt` with, unless the form is `OWN`, `tokenizer_config.json`.
        added: Special tokens to be added that a published tokenizer does not have; those of a
            vocabulary of `OWN` are as they are.

    Raises:
        ValueError: If they are no tokenizer, or one of an unknown form.
    """
    if MERGES_FILE in files:
        model = _read_model(files[VOCAB_FILE].parent, files[VOCAB_FILE], files[MERGES_FILE])
        if all(model.token_to_id(one) == number for number, one in enumerate(SPECIAL_TOKENS)):
            return model, OWN
    if TOKENIZER_FILE in files:
        path = files[TOKENIZER_FILE]
        model, settings = _read_model(path.parent, path), read_json_object(path)
        pattern = _pattern(settings.get("pre_tokenizer"), path)
        composes = (settings.get("normalizer") or {}).get("type") == "NFC"
        listed = {one["content"]: one["id"] for one in settings.get("added_tokens", [])}
    else:
        pattern, composes = QWEN2_PATTERN, True
        listed = _listed_tokens(files)
    number = max([*_vocabulary(model).values(), *listed.values()], default=-1)
    for token in added:
        if token not in listed:
            known = model.token_to_id(token)
            number += known is None
            listed[token] = number if known is None else known
    return model, TextForm(pattern, composes, listed)


def _listed_tokens(files: Mapping[str, Path]) -> dict[str, int]:
    """The special tokens that the settings of a tokenizer of Qwen2's form list."""
    path = files.get(TOKENIZER_SETTINGS)
    settings = {} if path is None else read_json_object(path)
    if not str(settings.get("tokenizer_class", "")).startswith("Qwen2"):
        raise ValueError(
            f"the vocabulary in {files[VOCAB_FILE].parent} does not have the published form, with "
            f"{', '.join(SPECIAL_TOKENS)} first: train one with sled tokenizer; of others, Qwen2's "
            f"is known by its {TOKENIZER_SETTINGS}"
        )
    listed = settings.get("added_tokens_decoder", {})
    return {one["content"]: int(number) for number, one in listed.items()}


def _vocabulary(model: BPE) -> dict[str, int]:
    vocabulary: dict[str, int] = Tokenizer(model).get_vocab()
    return vocabulary


def _read_model(folder: Path, vocabulary: Path, merges: Path | None = None) -> BPE:
    try:
        if merges is not None:
            return BPE.from_file(str(vocabulary), str(merges))
        model = Tokenizer.from_file(str(vocabulary)).model
    except Exception as error:  # tokenizers raises bare Exception
        names = vocabulary.name if merges is None else f"{vocabulary.name} and {merges.name}"
        raise ValueError(
            f"{folder} holds no readable tokenizer ({error}): copy {names} again"
        ) from error
    if not isinstance(model, BPE):
        raise ValueError(f"{vocabulary} is no byte-level BPE: use a tokenizer of the form of Qwen2")
    return model


def _pattern(splitter: Mapping[str, Any] | None, path: Path) -> str | None:
    """The pattern of the pre-tokenizer of a `tokenizer.json`."""
    if splitter is not None:
        kinds = splitter.get("pretokenizers", [splitter])
        patterns = [one["pattern"].get("Regex") for one in kinds if one.get("type") == "Split"]
        rest = [one for one in kinds if one.get("type") != "Split"]
        is_plain = [(one.get("type"), one.get("add_prefix_space")) for one in rest] == [
            ("ByteLevel", False)
        ]
        if is_plain and patterns == [QWEN2_PATTERN] and not rest[0].get("use_regex"):
            return QWEN2_PATTERN
        if is_plain and not patterns and rest[0].get("use_regex", True):
            return None
    raise ValueError(
        f"{path} divides texts in an unknown way ({json.dumps(splitter)[:80]}): use a tokenizer of "
        "the form of Qwen2 or GPT-2, or one of sled tokenizer"
    )
