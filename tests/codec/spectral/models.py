"""Tiny spectral codecs with random weights."""

from __future__ import annotations

import torch
from torch import nn

from sled.codec.spectral.config import SpectralConfig
from sled.codec.spectral.network import Spectral

SIZES: dict[str, dict[str, object]] = {
    "usual": {},
    "three columns": {"columns_per_frame": 3},
    "one frame of look-ahead": {"columns_per_frame": 6, "lookahead_frames": 1},
    "much look-ahead": {"stft_window": 24, "lookahead_frames": 3},
    "kl": {"bottleneck": "kl"},
    "no context": {"kernel_size": 1, "encoder_frame_blocks": 0},
}


def tiny_spectral(**changes: object) -> Spectral:
    """A model with latents of 4 numbers and 8 samples, loud enough to show differences."""
    options: dict = {"sampling_rate": 240, "stft_window": 16, "stft_hop": 4, "mel_bands": 3}
    options |= {"columns_per_frame": 2, "latent_size": 4, "encoder_width": 6, "decoder_width": 8}
    options |= {"encoder_column_blocks": 1, "encoder_frame_blocks": 1, "decoder_blocks": 2}
    torch.manual_seed(0)
    model = Spectral(SpectralConfig(**(options | changes)))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                module.weight.mul_(2)
        model.mean.normal_(std=0.3)
        model.deviation.uniform_(0.3, 0.8)
    return model.eval().requires_grad_(False)
