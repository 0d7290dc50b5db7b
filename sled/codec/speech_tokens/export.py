"""Writes a speech tokenizer as an ONNX file with the published interface."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from typing_extensions import override

from sled.codec.speech_tokens.network import TokenizerNetwork
from sled.files.extras import install_command

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
    try:
        import onnx  # noqa: F401  # PyTorch's exporter needs it
    except ImportError as error:
        raise ValueError(f"ONNX files need a package: run {install_command('tokens')}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    example = (torch.zeros(1, network.sizes.n_mels, 200), torch.tensor([200], dtype=torch.int32))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # The exporter of torch 2.6 to 2.13 that needs no further package says that it is old, and
        # what it does not fold.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _OneClip(network).cpu().eval(),
            example,
            str(partial),
            input_names=["feats", "feats_length"],
            output_names=["indices"],
            dynamic_axes={"feats": {2: "frames"}, "indices": {1: "tokens"}},
            opset_version=OPSET,
            dynamo=False,
        )
    os.replace(partial, path)
