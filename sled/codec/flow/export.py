"""The estimator of a flow as an ONNX graph with the published interface.

Inputs are `x`, `mu` and `cond` [2, M, F], `mask` [2, 1, F], `t` [2] and `spks` [2, M]; the output
is `estimator_out` [2, M, F]. The two rows are those with and without conditions; the number of
frames F is free.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sled.codec.flow.base import Flow
from sled.codec.flow.estimator import FlowInputs
from sled.codec.onnx_export import compare_onnx, export_onnx

PUBLISHED_NAME = "flow.decoder.estimator.fp32.onnx"
# As published: so many lengths are tried, and outputs may differ so much.
CHECKS, SHORTEST, LONGEST = 10, 16, 512
RELATIVE, ABSOLUTE = 1e-2, 1e-4

OUTPUT = "estimator_out"
_INPUTS = ("x", "mask", "mu", "t", "spks", "cond")
_WITHOUT_FRAMES = ("t", "spks")


class _Published(nn.Module):
    """The estimator with the published order of its inputs."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def forward(
        self, x: Tensor, mask: Tensor, mu: Tensor, t: Tensor, spks: Tensor, cond: Tensor
    ) -> Tensor:
        return self.flow.estimate(x, t, FlowInputs(mu, spks, cond), mask)


def export_estimator(flow: Flow, path: Path) -> float:
    """Write the graph, and compare it with the network.

    Args:
        flow: The flow, in evaluation mode on the CPU.
        path: The file.

    Returns:
        The largest difference between the outputs of both.

    Raises:
        ValueError: If they differ by too much, or onnx or ONNX Runtime is not installed.
    """
    network = _Published(flow)
    free = {name: {2: "seq_len"} for name in (*_INPUTS, OUTPUT) if name not in _WITHOUT_FRAMES}
    export_onnx(network, _example(flow, 64, 0), [OUTPUT], free, path)
    lengths = np.linspace(SHORTEST, LONGEST, CHECKS).astype(int).tolist()
    examples = (_example(flow, frames, seed) for seed, frames in enumerate(lengths))
    return compare_onnx(network, path, examples, RELATIVE, ABSOLUTE)


def _example(flow: Flow, frames: int, seed: int) -> dict[str, Tensor]:
    """Inputs of so many frames."""
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    mels, time = flow.num_mels, torch.rand(2, generator=generator)
    mask = torch.ones(2, 1, frames)
    x, mu, cond = (randn(2, mels, frames) for _ in range(3))
    values = (x, mask, mu, time, randn(2, mels), cond)
    return dict(zip(_INPUTS, values, strict=True))
