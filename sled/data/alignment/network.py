"""The aligner's network: features to the probabilities of symbols, looking both ways."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sled.data.alignment.features import NUM_FEATURES

_WIDTH = 160
_KERNEL = 5
# Of the convolutions, one after the other: together they see 57 frames, some 1.4 s.
_DILATIONS = (1, 1, 2, 2, 4, 4)


class Block(nn.Module):
    """A depthwise dilated convolution over time and a layer over channels, as a residual."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(_WIDTH)
        self.conv = nn.Conv1d(
            _WIDTH,
            _WIDTH,
            _KERNEL,
            padding=_KERNEL // 2 * dilation,
            dilation=dilation,
            groups=_WIDTH,
        )
        self.up = nn.Linear(_WIDTH, 2 * _WIDTH)
        self.down = nn.Linear(2 * _WIDTH, _WIDTH)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B, T, width], of which only the frames in mask [B, T, 1] are seen."""
        seen = (self.norm(x) * mask).transpose(1, 2)
        return x + self.down(F.silu(self.up(self.conv(seen).transpose(1, 2))))


class CtcNetwork(nn.Module):
    """Log-probabilities of symbols in each frame.

    Args:
        num_symbols: The blank included.
        mean: Of the features, [F].
        scale: Their standard deviation, [F].
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, num_symbols: int, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.input = nn.Linear(NUM_FEATURES, _WIDTH)
        self.blocks = nn.ModuleList(Block(dilation) for dilation in _DILATIONS)
        self.norm = nn.LayerNorm(_WIDTH)
        self.output = nn.Linear(_WIDTH, num_symbols)

    def normalize(self, features: Tensor) -> Tensor:
        """Features [..., F] as the network wants them: around 0, about 1 in size."""
        return (features - self.mean) / self.scale

    def forward(self, normalized: Tensor, lengths: Tensor) -> Tensor:
        """normalized [B, T, F] of clips of these lengths [B] -> log-probabilities [B, T, C].

        A clip's own frames do not depend on what else is in the batch.
        """
        frames = torch.arange(normalized.shape[1])
        mask = (frames < lengths[:, None]).unsqueeze(-1).to(normalized)
        x = self.input(normalized)
        for block in self.blocks:
            x = block(x, mask)
        return self.output(self.norm(x)).log_softmax(-1)
