"""What the decoder needs of a model, whatever computes it.

`sled.model.SpeechLlamaForCausalLM` is the plain form, which is also trained; `sled.fast` has forms
that do nothing but decode.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from sled.cache import KVCache
from sled.config import SpeechLlamaConfig
from sled.layout import Layout


class FrameModel(Protocol):
    """Reads tokens and frames, and draws the next frame.

    Rows of a call never influence one another. Shapes: R rows, Q new inputs of a row, H hidden
    width, D latent width, N noise width.
    """

    @property
    def config(self) -> SpeechLlamaConfig:
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

    def new_cache(self) -> KVCache:
        """What rows remember, for `advance`; without any rows as yet."""
        ...

    def embed_text(self, token_ids: Tensor) -> Tensor:
        """[...] token ids to input embeddings [..., H]."""
        ...

    def embed_latents(self, latents: Tensor) -> Tensor:
        """[..., D] speech latents to input embeddings [..., H]."""
        ...

    def advance(
        self, embeddings: Tensor, rows: list[int], counts: list[int], cache: KVCache
    ) -> Tensor:
        """Read `counts[r]` new inputs in each row and return the state after the last.

        Args:
            embeddings: [R, Q, H] input embeddings, right-padded.
            rows: Which R rows of the cache they continue, in ascending order.
            counts: R counts in 1..Q.
            cache: The rows' past, grown in place.

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
