"""What the decoder needs of a model, whatever computes it.

`sled.model.lm.SpeechLlamaForCausalLM` is the plain form, which is also trained; `sled.fast` has
forms that do nothing but decode.

Shapes: U utterances, R rows of a call, Q new inputs of a row, H hidden width, D latent width, N
noise width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from sled.model.cache import RowCache
from sled.model.config import Config
from sled.model.layout import Layout

NONE = -1


@dataclass(frozen=True, eq=False)
class StepInputs:
    """What a step of the model reads.

    An utterance has a row with its text and, under guidance, a second one without it.

    Attributes:
        rows: int64 [U, 2] their places in the cache; `NONE` where there is no second one.
        tokens: int64 [U, 2] what each row reads: a token; `NONE` for the utterance's newest frame.
        frames: [U, D] these frames, on the model's device; anything where none is read.
        cfg, temperature: float32 [U].
        draws: int64 [U] of how many draws each frame is the mean.
        noise: float32 [U, N], standard normal.
    """

    rows: np.ndarray
    tokens: np.ndarray
    frames: Tensor
    cfg: np.ndarray
    temperature: np.ndarray
    draws: np.ndarray
    noise: Tensor

    @property
    def guided(self) -> np.ndarray:
        """[U] whether there is a second row."""
        return self.rows[:, 1] != NONE


# Frames [U, D] and stop probabilities [U] of a step, on the model's device. What computes them may
# still be under way, and does not change them later.
WriteFrames = Callable[[StepInputs], tuple[Tensor, Tensor]]


class FrameModel(Protocol):
    """Reads tokens and frames, and draws the next frame.

    Rows of a call never influence one another.
    """

    @property
    def config(self) -> Config:
        """Sizes and settings."""
        ...

    @property
    def layout(self) -> Layout:
        """How text and speech interleave, unless asked for otherwise."""
        ...

    @property
    def device(self) -> torch.device:
        """Where inputs are expected and results lie."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Of embeddings, states and frames."""
        ...

    def new_cache(self) -> RowCache:
        """What rows remember, for `advance`; without any rows as yet."""
        ...

    def new_step(self, cache: Any) -> WriteFrames | None:
        """What writes frames of rows of this cache. None: the decoder does, part by part."""
        ...

    def embed_text(self, token_ids: Tensor) -> Tensor:
        """[...] token ids to input embeddings [..., H]."""
        ...

    def embed_latents(self, latents: Tensor) -> Tensor:
        """[..., D] speech latents to input embeddings [..., H]."""
        ...

    def advance(self, embeddings: Tensor, rows: list[int], counts: list[int], cache: Any) -> Tensor:
        """Read `counts[r]` new inputs in each row and return the state after the last.

        Args:
            embeddings: [R, Q, H] input embeddings, right-padded.
            rows: Which R rows of the cache they continue, in ascending order.
            counts: R counts in 1..Q.
            cache: The rows' past, grown in place; of those that `new_cache` makes.

        Returns:
            [R, H] hidden state of each row's last new position.
        """
        ...

    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        """One latent [..., D] for each hidden state [..., H] and standard normal noise [..., N]."""
        ...

    def stop_probability(self, hidden: Tensor) -> Tensor:
        """[..., H] hidden states to the probability [...] that speech has ended before them."""
        ...

    def digest(self) -> str:
        """Hexadecimal digest of the weights, in the precision they are held in."""
        ...
