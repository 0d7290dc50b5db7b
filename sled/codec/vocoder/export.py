"""A vocoder as an ONNX graph: `mel` [1, M, n] to `audio` [1, S], of any length."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from sled.codec.memory import Memory
from sled.codec.onnx_export import compare_onnx, export_onnx
from sled.codec.vocoder.base import Vocoder

FILE_NAME = "hift.fp32.onnx"
_LENGTHS = (12, 40, 101)


class _WholeMemory(Memory):
    """As that of a whole signal, but lengths are not computed, so that graphs are small."""

    def __init__(self) -> None:
        super().__init__(None, True)

    @override
    def windows(
        self, x: Tensor, size: int, step: int, left: int, right: int, mode: str = "constant"
    ) -> Tensor:
        return F.pad(x, (left, right), mode)  # what reads windows leaves a rest out

    @override
    def together(self, *signals: Tensor) -> list[Tensor]:
        return list(signals)  # whole signals are equally long


class _Whole(nn.Module):
    """A vocoder that makes sound of whole mel spectrograms."""

    def __init__(self, vocoder: Vocoder, kind: Callable[[], Memory]) -> None:
        super().__init__()
        self.vocoder, self.kind = vocoder, kind

    def forward(self, mel: Tensor) -> Tensor:
        return self.vocoder.step(mel, self.kind())


def export_vocoder(vocoder: Vocoder, path: Path) -> float:
    """Write the graph, and compare it with the network.

    Noise and the phases at the beginning are constants in it, as in streams: the same mel
    spectrogram gives the same audio.

    Args:
        vocoder: The vocoder, on the CPU. It is prepared for inference.
        path: The file.

    Returns:
        The largest difference between samples of both.

    Raises:
        ValueError: If they differ by more than 1e-4, or onnx or ONNX Runtime is not installed.
    """
    vocoder = vocoder.for_inference()
    examples = [{"mel": _example(vocoder, frames)} for frames in _LENGTHS]
    free = {"mel": {2: "frames"}, "audio": {1: "samples"}}
    export_onnx(_Whole(vocoder, _WholeMemory), examples[0], ["audio"], free, path)
    return compare_onnx(_Whole(vocoder, Memory.of_whole), path, examples)


def _example(vocoder: Vocoder, frames: int) -> Tensor:
    generator = torch.Generator().manual_seed(frames)
    return torch.randn(1, vocoder.sizes.in_channels, frames, generator=generator)
