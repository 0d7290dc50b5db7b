"""Writes a speech tokenizer as an ONNX file with the published interface."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from typing_extensions import override

from sled.codec.onnx_export import export_onnx
from sled.codec.speech_tokens.network import TokenizerNetwork

OPSET = 17


class _OneClip(nn.Module):
    """The network with the tokens alone as its output."""

    def __init__(self, network: TokenizerNetwork) -> None:
        super().__init__()
        self.network = network

    @override
    def forward(self, mel: Tensor, num_frames: Tensor) -> Tensor:
        tokens: Tensor = self.network(mel, num_frames)[0]
        return tokens


def export_tokenizer(network: TokenizerNetwork, path: Path) -> None:
    """Write a network as an ONNX file.

    Its inputs are `feats` [1, M, F], `feats_length` [1], int32; its output is `indices` [1, T]. The
    file appears under its name when it is complete.

    Args:
        network: The network.
        path: The file.

    Raises:
        ValueError: If the package `onnx` is not installed.
    """
    example = {
        "feats": torch.zeros(1, network.sizes.n_mels, 200),
        "feats_length": torch.tensor([200], dtype=torch.int32),
    }
    free = {"feats": {2: "frames"}, "indices": {1: "tokens"}}
    export_onnx(_OneClip(network).cpu(), example, ["indices"], free, path, OPSET)
