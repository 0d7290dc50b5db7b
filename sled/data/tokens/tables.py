"""Tables of an utterance's tokens and vectors by name: `.pt` files of one dictionary.

`utt2embedding.pt` and `spk2embedding.pt` have a list of numbers for each name,
`utt2speech_token.pt` a list of ids. Some published tools write tensors instead of lists, or, for
two codebooks, a dictionary of lists. `utt2spoken_token.pt`, which only this project has, tells
which text token is said in each speech token.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from sled.files.whole import write_whole

UTTERANCE_VECTORS, SPEAKER_VECTORS = "utt2embedding.pt", "spk2embedding.pt"
SPEECH_TOKENS, SPOKEN_TOKENS = "utt2speech_token.pt", "utt2spoken_token.pt"
# Mixed tokens of two codebooks, in a dictionary of all three.
MIXED, LINGUISTIC, SEMANTIC = "vq0206", "vq02", "vq06"

Row: TypeAlias = np.ndarray


def read_vectors(path: Path) -> dict[str, Row]:
    """Read a table of vectors, float64 [width] by name.

    Raises:
        ValueError: If the file is missing or no such table, or vectors differ in width.
    """
    vectors = _read(path, _vector)
    widths = {len(vector): name for name, vector in vectors.items()}
    if len(widths) > 1:
        first, second, *_ = widths.items()
        raise ValueError(
            f"{path} holds vectors of different widths, {first[0]} of {first[1]} and {second[0]} "
            f"of {second[1]}: extract it again"
        )
    return vectors


def read_tokens(path: Path) -> dict[str, Row]:
    """Read a table of tokens, int64 [T] by name. Of two codebooks, these are the mixed tokens.

    Raises:
        ValueError: If the file is missing or no such table.
    """
    return _read(path, _ids)


def write_table(path: Path, table: Mapping[str, Row]) -> None:
    """Write a table of lists. It appears under its name when it is complete."""
    write_whole(path, partial(torch.save, {name: row.tolist() for name, row in table.items()}))


def _read(path: Path, parse: Callable[[Any], Row]) -> dict[str, Row]:
    if not path.is_file():
        raise ValueError(f"no table at {path}: extract it first, or check the path")
    try:
        # Only plain data: a pickle can run code.
        table = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{path} is no table of plain data ({reason}): extract it again"
        ) from error
    if not isinstance(table, dict):
        raise ValueError(f"{path} holds a {type(table).__name__}, no table: extract it again")
    rows = {}
    for name, value in table.items():
        try:
            rows[str(name)] = parse(value)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise ValueError(f"{path}: {name} is no row of numbers: extract it again") from error
    return rows


def _vector(value: Any) -> Row:
    vector = np.asarray(value, np.float64).reshape(-1)
    if not len(vector) or not np.isfinite(vector).all():
        raise ValueError
    return vector


def _ids(value: Any) -> Row:
    if isinstance(value, dict):
        value = value[MIXED]
    ids = np.asarray(value).reshape(-1)
    if len(ids) and ids.dtype.kind not in "iu":
        raise ValueError
    return ids.astype(np.int64)
