"""Checkpoint folders that include a tokenizer: checking and writing them."""

from __future__ import annotations

import shutil
from pathlib import Path

from sled.files.checkpoint import missing_files
from sled.model.lm import SpeechLM
from sled.model.registry import model_family
from sled.model.tokens.lm import TokenLM
from sled.text.forms import MERGES_FILE, TOKENIZER_FILE, TOKENIZER_SETTINGS, VOCAB_FILE

TOKENIZER_FILES = (VOCAB_FILE, MERGES_FILE)
# Of tokenizers of transformers, which models of speech tokens have.
_OTHER_FILES = (TOKENIZER_FILE, TOKENIZER_SETTINGS, "added_tokens.json", "special_tokens_map.json")


def tokenizer_files(folder: Path) -> list[str]:
    """Return the names of the tokenizer's files in a folder."""
    return [name for name in (*TOKENIZER_FILES, *_OTHER_FILES) if (folder / name).is_file()]


def refuse_existing(output: Path) -> None:
    """Check that a folder is new.

    Raises:
        ValueError: If it exists.
    """
    if output.exists():
        raise ValueError(f"{output} exists: name a new folder")


def check_complete(checkpoint: Path) -> None:
    """Check that a folder has a model and a tokenizer.

    Raises:
        ValueError: If files are missing; the error names them.
    """
    missing = missing_files(checkpoint)
    if not (checkpoint / TOKENIZER_FILE).is_file():
        missing += [name for name in TOKENIZER_FILES if not (checkpoint / name).is_file()]
    if missing:
        raise ValueError(
            f"{checkpoint} is incomplete, it lacks {', '.join(missing)}: check the path"
        )


def write_checkpoint(model: SpeechLM | TokenLM, source: Path, output: Path) -> None:
    """Write a model with the tokenizer of `source`; the folder appears when it is complete."""
    partial = output.with_name(f".partial.{output.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    model_family(source).save_model(model, partial)
    for name in tokenizer_files(source):
        shutil.copy(source / name, partial / name)
    partial.replace(output)
