"""The interface between the decoder and a model, whatever computes it.

`SpeechLM` is the plain form of a model, the one that is trained. `sled.fast` has forms that only
decode.

Shapes: B utterances in a batch, R rows of a call, Q new inputs of a row, C conditions, H hidden
width, N noise width, S scored ids; `...` after B is the shape of a unit, [D] for a latent and []
for an id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from sled.model.cache import RowCache
from sled.model.config import Config
from sled.model.ids import NONE as NONE
from sled.model.ids import SpeechIds
from sled.model.layout import Layout
from sled.model.sampling import IdDraws


@dataclass(frozen=True, eq=False)
class BatchComposition:
    """The part of a step's inputs that stays the same until an utterance joins or leaves.

    An utterance has one row in the cache with its text and, under guidance, a second one without.

    Attributes:
        rows: int64 [B, 2] indices of these rows in the cache; `NONE` where there is no second one.
        cfg: float32 [B] guidance scales.
        temperature: float32 [B] scales of the noise.
        draws: int64 [B] number of draws that each unit is the mean of.
    """

    rows: np.ndarray
    cfg: np.ndarray
    temperature: np.ndarray
    draws: np.ndarray

    @property
    def guided(self) -> np.ndarray:
        """Boolean [B], True where an utterance has a second row."""
        guided: np.ndarray = self.rows[:, 1] != NONE
        return guided

    @cached_property
    def row_order(self) -> RowOrder:
        """The rows of all utterances, sorted as in the cache."""
        return RowOrder(self.rows)


class RowOrder:
    """The rows of a batch in the order of the cache.

    Args:
        rows: As `BatchComposition.rows`.

    Attributes:
        rows: R cache indices, ascending.
        utterance: int64 [R] the utterance that each row belongs to.
        column: int64 [R] 0 for a row with text, 1 for a row without.
        with_text: int64 [B] where each utterance's row with text is among the R.
        text_free: int64 [B] where its row without text is; without guidance, the row with text.
    """

    def __init__(self, rows: np.ndarray) -> None:
        utterance, column = np.nonzero(rows != NONE)
        order = np.argsort(rows[utterance, column])
        self.utterance, self.column = utterance[order], column[order]
        self.rows: list[int] = rows[self.utterance, self.column].tolist()
        index = np.zeros_like(rows)
        index[self.utterance, self.column] = np.arange(len(order))
        self.with_text = index[:, 0]
        self.text_free = np.where(rows[:, 1] != NONE, index[:, 1], index[:, 0])


@dataclass(frozen=True, eq=False)
class StepInputs:
    """The inputs of one decoding step.

    Attributes:
        batch: Which rows are decoded, and how.
        tokens: int64 [B, 2] the token that each row reads; `NONE` for the utterance's newest unit.
        units: [B, ...] these units, on the model's device; arbitrary where none is read.
        noise: float32 [B, N], standard normal; [B, 0] for ids.
        draws: How ids are drawn. None: units are vectors.
    """

    batch: BatchComposition
    tokens: np.ndarray
    units: Tensor
    noise: Tensor
    draws: IdDraws | None = None


class FrameModel(Protocol):
    """Reads tokens and units, and draws the next unit. The rows of a call are independent."""

    @property
    def config(self) -> Config:
        """Sizes and settings."""
        ...

    @property
    def layout(self) -> Layout:
        """The default interleaving of text and speech."""
        ...

    @property
    def streaming_layout(self) -> Layout:
        """The interleaving for text that comes in pieces; offline if the model knows none."""
        ...

    @property
    def device(self) -> torch.device:
        """The device of inputs and results."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The type of embeddings and hidden states."""
        ...

    @property
    def unit_shape(self) -> tuple[int, ...]:
        """The shape of a unit: (D,) for a latent, () for an id."""
        ...

    @property
    def unit_dtype(self) -> torch.dtype:
        """The type of units."""
        ...

    @property
    def noise_width(self) -> int:
        """N, the number of noise values that a draw takes."""
        ...

    @property
    def ids(self) -> SpeechIds | None:
        """The ids that the units are. None: units are vectors, which `draw` makes of noise."""
        ...

    @property
    def averages(self) -> bool:
        """Whether the mean of several draws is a unit."""
        ...

    @property
    def parameter_count(self) -> int:
        """Number of parameters, which says how long a step computes."""
        ...

    @property
    def shows_attention(self) -> bool:
        """Whether its cache is a `KVCache` that can watch a layer."""
        ...

    def new_cache(self) -> RowCache:
        """A cache for `advance` and `step`, without rows."""
        ...

    @property
    def encodes_text(self) -> bool:
        """Whether the embedding of a token depends on the tokens before it."""
        ...

    def embed_text(self, token_ids: Tensor, past: Sequence[int] = ()) -> Tensor:
        """Input embeddings [..., H] of token ids [...].

        Args:
            token_ids: The tokens; [L] if the model encodes text.
            past: The tokens before them in their text; used if the model encodes text.
        """
        ...

    def embed_units(self, units: Tensor) -> Tensor:
        """Input embeddings [B, H] of units [B, ...]."""
        ...

    def embed_conditions(self, conditions: Mapping[str, Tensor]) -> Tensor:
        """Input embeddings [C, H] of an utterance's conditions, which come before its text.

        Args:
            conditions: Vectors [width] by name, such as a speaker embedding.

        Raises:
            ValueError: If these are not the conditions that the model takes.
        """
        ...

    def advance(self, embeddings: Tensor, rows: list[int], counts: list[int], cache: Any) -> Tensor:
        """Read `counts[r]` new inputs in each row.

        Args:
            embeddings: [R, Q, H] input embeddings, right-padded.
            rows: R cache indices, ascending.
            counts: R counts in 1..Q.
            cache: From `new_cache`; grown in place.

        Returns:
            [R, H] hidden state of each row's last new position.
        """
        ...

    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        """Units [B, ...] from hidden states [B, H] and standard normal noise [B, N]."""
        ...

    def score_ids(self, hidden: Tensor) -> Tensor:
        """Unnormalised log-probabilities [..., S] of ids after hidden states [..., H]."""
        ...

    def stop_probability(self, hidden: Tensor) -> Tensor:
        """Probabilities [...] that speech has ended before the hidden states [..., H]."""
        ...

    def step(self, inputs: StepInputs, cache: Any) -> tuple[Tensor, Tensor]:
        """Read one input per row and draw one unit per utterance.

        Args:
            inputs: What to read.
            cache: From `new_cache`; grown in place.

        Returns:
            Units [B, ...] and stop probabilities [B], on the model's device. The computation may
            still be running; later steps do not overwrite them.
        """
        ...

    def digest(self) -> str:
        """Hexadecimal digest of the weights, in the precision they are held in."""
        ...
