"""The estimator of a flow as an ONNX graph with the published interface.

Inputs are `x`, `mu` and `cond` [2, M, F], `mask` [2, 1, F], `t` [2] and `spks` [2, M]; the output
is `estimator_out` [2, M, F]. The two rows are those with and without conditions; the number of
frames F is free.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sled.codec.flow.base import Flow
from sled.codec.flow.estimator import FlowInputs

PUBLISHED_NAME = "flow.decoder.estimator.fp32.onnx"
OPSET = 18
# As published: so many lengths are tried, and outputs may differ so much.
CHECKS, SHORTEST, LONGEST = 10, 16, 512
RELATIVE, ABSOLUTE = 1e-2, 1e-4

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
    network = _Published(flow).eval()  # the exporter restores the mode it finds
    axes = {name: {2: "seq_len"} for name in _INPUTS if name not in _WITHOUT_FRAMES}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about tracing
        torch.onnx.export(
            network,
            tuple(_example(flow, 64, 0)),
            str(path),
            input_names=list(_INPUTS),
            output_names=["estimator_out"],
            dynamic_axes={**axes, "estimator_out": {2: "seq_len"}},
            opset_version=OPSET,
            dynamo=False,
        )
    return _check(network, flow, path)


def _example(flow: Flow, frames: int, seed: int) -> list[Tensor]:
    """Inputs of so many frames."""
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    mels, time = flow.num_mels, torch.rand(2, generator=generator)
    mask = torch.ones(2, 1, frames)
    x, mu, cond = (randn(2, mels, frames) for _ in range(3))
    return [x, mask, mu, time, randn(2, mels), cond]


@torch.no_grad()
def _check(network: _Published, flow: Flow, path: Path) -> float:
    from sled.codec.onnx_file import open_onnx

    session, worst = open_onnx(path), 0.0
    for seed, frames in enumerate(np.linspace(SHORTEST, LONGEST, CHECKS).astype(int).tolist()):
        inputs = _example(flow, frames, seed)
        named = dict(zip(_INPUTS, (one.numpy() for one in inputs), strict=True))
        [theirs] = session.run(None, named)
        ours = network(*inputs).numpy()
        if not np.allclose(theirs, ours, rtol=RELATIVE, atol=ABSOLUTE):
            raise ValueError(
                f"{path} differs from the network by up to {np.abs(theirs - ours).max():.1e} at "
                f"{frames} frames: use another version of onnx or ONNX Runtime"
            )
        worst = max(worst, float(np.abs(theirs - ours).max()))
    return worst
