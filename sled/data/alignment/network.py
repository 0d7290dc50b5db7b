"""The network of the aligner: symbol probabilities from features, with context on both sides."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sled.data.alignment.features import NUM_FEATURES

_WIDTH = 160
_KERNEL = 5
# Dilations of the convolutions. Their receptive field is 57 frames, about 1.4 s.
_DILATIONS = (1, 1, 2, 2, 4, 4)


class Block(nn.Module):
    """Residual block: a depthwise dilated convolution over time and an MLP over channels."""

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
        """Apply the block to x [B, T, width]; only frames with mask [B, T, 1] are read."""
        seen = (self.norm(x) * mask).transpose(1, 2)
        change: Tensor = self.down(F.silu(self.up(self.conv(seen).transpose(1, 2))))
        return x + change


class CtcNetwork(nn.Module):
    """Log-probabilities of symbols in each frame.

    Args:
        num_symbols: Number of symbols, including the blank.
        mean: Mean of the features, [F].
        scale: Standard deviation of the features, [F].
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
        """Normalise features [..., F] to zero mean and unit variance."""
        return (features - self.mean) / self.scale

    def forward(self, normalized: Tensor, lengths: Tensor) -> Tensor:
        """Log-probabilities [B, T, C] of normalised features [B, T, F].

        The frames of a clip do not depend on the other clips of the batch.

        Args:
            normalized: Features from `normalize`, padded.
            lengths: [B] frames of each clip.
        """
        frames = torch.arange(normalized.shape[1])
        mask = (frames < lengths[:, None]).unsqueeze(-1).to(normalized)
        x = self.input(normalized)
        for block in self.blocks:
            x = block(x, mask)
        logits: Tensor = self.output(self.norm(x))
        return logits.log_softmax(-1)
