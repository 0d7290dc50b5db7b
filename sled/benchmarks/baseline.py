"""The baseline: decoding as in the published implementation.

It computes in float32, with one pass with the text and another without it for each frame, and with
a cache that is copied as it grows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from sled.benchmarks.backbones import make_backbones
from sled.model.config import Config
from sled.model.heads import EnergyHead


class TwoPassBaseline(nn.Module):
    """Decoding with transformers' Llama and random weights.

    Args:
        config: Sizes.
        context: Number of positions that both branches have at the start.
        guided: Whether there is a branch without the text.
    """

    _noise: Tensor

    def __init__(self, config: Config, context: int, guided: bool) -> None:
        super().__init__()
        sizes = config.architecture
        _, self._llama = make_backbones(config)
        self._head = EnergyHead(sizes, config.objective)
        self._embed = nn.Linear(sizes.vae_embed_dim, sizes.hidden_size)
        self._norm = nn.LayerNorm(sizes.hidden_size, eps=1e-6)
        self._stop = nn.Linear(sizes.hidden_size, 1, bias=False)
        self.register_buffer("_noise", torch.zeros(1, sizes.noise_channels))
        self._context, self._branches = context, 2 if guided else 1
        self._width = sizes.hidden_size
        self.eval()

    @torch.inference_mode()
    def begin(self) -> None:
        """Clear the caches, and read the context."""
        self._frame = self._noise.new_zeros(1, 1, self._embed.in_features)
        self._caches = [DynamicCache() for _ in range(self._branches)]
        past = self._noise.new_zeros(1, self._context, self._width)
        for cache in self._caches:
            self._read(past, cache)

    @torch.inference_mode()
    def write_frame(self) -> None:
        """Generate the next frame."""
        states = []
        for cache in self._caches:
            x = self._norm(self._embed(self._frame))
            states.append(self._read(x, cache))
        guided = states[-1] + 2.0 * (states[0] - states[-1])
        torch.sigmoid(self._stop(states[0])).item()
        self._frame = self._head.draw(guided, self._noise.normal_())[:, None]

    def _read(self, x: Tensor, cache: DynamicCache) -> Tensor:
        """Return the last hidden state [1, H] after embeddings [1, L, H]."""
        # By position: what the cache is called depends on the version of transformers.
        output = self._llama(None, None, None, cache, x, use_cache=True)
        hidden: Tensor = output.last_hidden_state[:, -1]
        return hidden
