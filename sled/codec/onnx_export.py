"""Writes networks as ONNX graphs, and compares them with the networks."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.onnx import symbolic_helper
from torch.onnx.utils import register_custom_op_symbolic

from sled.files.extras import install_command
from sled.files.onnx_file import open_onnx

OPSET = 18


class Called(nn.Module):
    """A function as a network, with the networks that it calls."""

    def __init__(self, call: Callable[..., Any], *networks: nn.Module) -> None:
        super().__init__()
        self.call, self.networks = call, nn.ModuleList(networks)

    def forward(self, *inputs: Tensor) -> Any:
        """Call the function."""
        return self.call(*inputs)


@torch.no_grad()
def export_onnx(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    free: Mapping[str, Mapping[int, str]],
    path: Path,
    opset: int = OPSET,
) -> None:
    """Write a network on the CPU as a graph. The file appears when it is complete.

    Args:
        network: The network. It runs on the inputs once, which also makes constants that it keeps.
        inputs: An example of its inputs, by their names in the graph.
        outputs: Names of its outputs.
        free: Names of the dimensions that are not fixed, by input or output and by their place.
        path: The file.
        opset: Version of the operators.

    Raises:
        ValueError: If the package `onnx` is not installed.
    """
    try:
        import onnx  # noqa: F401  # PyTorch's exporter needs it
    except ImportError as error:
        raise ValueError(f"ONNX files need a package: run {install_command('tokens')}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    network = network.eval()
    network(*inputs.values())
    _know_operators()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # The exporter of torch 2.6 to 2.13 that needs no further package says that it is old, and
        # what it does not fold.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            tuple(inputs.values()),
            str(partial),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=free,
            opset_version=opset,
            dynamo=False,
        )
    os.replace(partial, path)


@torch.no_grad()
def compare_onnx(
    network: nn.Module,
    path: Path,
    examples: Iterable[Mapping[str, Tensor]],
    relative: float = 0.0,
    absolute: float = 1e-4,
) -> float:
    """Compare what a graph and its network compute.

    Args:
        network: The network.
        path: The graph.
        examples: Inputs by name.
        relative: How far outputs may differ, relative to those of the network.
        absolute: How far they may differ beside that.

    Returns:
        The largest difference.

    Raises:
        ValueError: If they differ by too much, or ONNX Runtime is not installed.
    """
    session, worst = open_onnx(path), 0.0
    for inputs in examples:
        result = network(*inputs.values())
        expected = result if isinstance(result, tuple) else (result,)
        found = session.run(None, {name: one.numpy() for name, one in inputs.items()})
        for ours, theirs in zip(expected, found, strict=True):
            difference = np.abs(theirs - ours.numpy())
            worst = max(worst, float(difference.max()))
            if not np.allclose(theirs, ours.numpy(), rtol=relative, atol=absolute):
                shapes = ", ".join(f"{name} {list(one.shape)}" for name, one in inputs.items())
                raise ValueError(
                    f"{path} differs from the network by up to {difference.max():.1e} for "
                    f"{shapes}: use another version of onnx or ONNX Runtime"
                )
    return worst


@cache
def _know_operators() -> None:
    """Tell the exporter what it does not know, and what ONNX Runtime has in float32 only."""

    def transpose_last(graph: Any, x: Any) -> Any:
        order = list(range(x.type().dim()))
        order[-2:] = order[-1], order[-2]
        return graph.op("Transpose", x, perm_i=order)

    def elu(graph: Any, x: Any, alpha: Any, scale: Any, input_scale: Any) -> Any:
        zero, one = (
            graph.op("CastLike", graph.op("Constant", value_t=torch.tensor(value)), x)
            for value in (0.0, 1.0)
        )
        below = graph.op("Sub", graph.op("Exp", x), one)
        result = graph.op("Where", graph.op("Greater", x, zero), x, below)
        return result.setType(x.type())

    def rms_norm(graph: Any, x: Any, shape: Any, weight: Any, epsilon: Any) -> Any:
        def constant(value: Any) -> Any:
            return graph.op("Constant", value_t=torch.as_tensor(value))

        square = graph.op("ReduceMean", graph.op("Mul", x, x), constant([-1]), keepdims_i=1)
        root = graph.op(
            "Sqrt", graph.op("Add", square, constant(symbolic_helper._parse_arg(epsilon, "f")))
        )
        normed = graph.op("Div", x, root)
        return graph.op("Mul", normed, weight).setType(x.type())

    for name, symbolic in (("mT", transpose_last), ("elu", elu), ("rms_norm", rms_norm)):
        register_custom_op_symbolic(f"aten::{name}", symbolic, 17)
