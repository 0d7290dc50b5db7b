"""Reads the weights of a speech tokenizer out of its ONNX file, to run it in PyTorch.

In such a file many tensors have numbers for names. But nodes are called after the modules that they
were made of, such as /blocks.0/attn/query/MatMul, and that tells what their inputs are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sled.codec.speech_tokens.network import TokenizerNetwork, TokenizerSizes
from sled.files.checkpoint import assign_weights
from sled.files.extras import install_command
from sled.files.without_weights import without_weights

# Width of a head of the published networks, which no tensor tells.
_HEAD_WIDTH = 64

_BLOCK = re.compile(
    r"blocks\.(\d+)/(attn/(?:query|key|value|out|fsmn_block)|attn_ln|mlp_ln|mlp/(?:mlp\.)?[02])/"
)


def read_onnx_tokenizer(path: Path, num_heads: int | None = None) -> TokenizerNetwork:
    """Read a speech tokenizer of version 1 or 2 from an ONNX file.

    Args:
        path: The file.
        num_heads: Heads of an attention. None: heads of width 64, as published.

    Returns:
        The network, in evaluation mode.

    Raises:
        ValueError: If the file cannot be read, or holds another network.
    """
    try:
        import onnx
    except ImportError as error:
        raise ValueError(f"ONNX files need a package: run {install_command('tokens')}") from error
    try:
        graph = onnx.load(str(path)).graph
        state, strides = _collect(graph)
        sizes = _sizes(state, strides, num_heads)
    except OSError as error:
        raise ValueError(f"no ONNX file at {path}: check the path") from error
    except Exception as error:  # damaged files raise errors of many types
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{path} is no speech tokenizer whose weights can be read ({reason}): use it as an "
            "ONNX file"
        ) from error
    with without_weights():
        network = TokenizerNetwork(sizes)
    assign_weights(path, network, state)
    return network.eval()


def _collect(graph: Any) -> tuple[dict[str, Tensor], list[int]]:
    """The tensors by their published names, and the strides of the first convolutions."""
    state: dict[str, Tensor] = {}
    strides: list[int] = []
    for node, arrays in _nodes_with_arrays(graph):
        block = _BLOCK.search(node.name)
        if block is not None:
            layer, module = block[1], block[2].replace("mlp/mlp.", "mlp/").replace("/", ".")
            _take(state, f"encoder.blocks.{layer}.{module}", node, arrays)
        elif node.op_type == "Conv" and len(strides) < 2:
            strides.append(int(_attribute(node, "strides")[0]))
            name = f"encoder.conv{len(strides)}"
            state[f"{name}.weight"], state[f"{name}.bias"] = map(_tensor, arrays[:2])
        else:
            _take_outside(state, node, arrays)
    return state, strides


def _take(state: dict[str, Tensor], name: str, node: Any, arrays: list[np.ndarray]) -> None:
    """Take the tensors of a node inside a block."""
    kind = node.op_type
    if kind == "MatMul" and arrays[0].ndim == 2:
        state[f"{name}.weight"] = _tensor(arrays[0].T)
    elif kind == "Conv":
        state[f"{name}.weight"] = _tensor(arrays[0])
    elif kind == "LayerNormalization":
        state[f"{name}.weight"], state[f"{name}.bias"] = map(_tensor, arrays[:2])
    elif kind in ("Add", "Mul") and arrays[0].ndim == 1 and arrays[0].size > 1:
        state[f"{name}.{'bias' if kind == 'Add' else 'weight'}"] = _tensor(arrays[0])


def _take_outside(state: dict[str, Tensor], node: Any, arrays: list[np.ndarray]) -> None:
    """Take the quantizer of either version, and the table of positions."""
    array = arrays[0]
    down, table = "quantizer._codebook.project_down", "quantizer._codebook.embed"
    quantizes = "quantizer" in node.name
    if array.ndim == 2 and node.op_type == "MatMul" and array.shape[1] == 8:
        state[f"{down}.weight"] = _tensor(array.T)
    elif array.ndim == 1 and array.size == 8 and node.op_type == "Add":
        state[f"{down}.bias"] = _tensor(array)
    elif array.ndim == 2 and quantizes and node.op_type in ("Pow", "MatMul"):
        # Its rows are the longer side: there are more codes than numbers in one.
        state[table] = _tensor(array if array.shape[0] >= array.shape[1] else array.T)
    elif array.ndim == 2 and not quantizes:
        state.setdefault("encoder.positional_embedding", _tensor(array))


def _nodes_with_arrays(graph: Any) -> Iterator[tuple[Any, list[np.ndarray]]]:
    """Yield the nodes that read constant arrays, with these."""
    from onnx import numpy_helper

    arrays = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    arrays[node.output[0]] = numpy_helper.to_array(attribute.t)
        elif node.op_type == "Identity" and node.input[0] in arrays:
            arrays[node.output[0]] = arrays[node.input[0]]
        else:
            known = [arrays[name] for name in node.input if name in arrays]
            if known and known[0].dtype == np.float32:
                yield node, known


def _attribute(node: Any, name: str) -> Any:
    from onnx import helper

    return next(helper.get_attribute_value(one) for one in node.attribute if one.name == name)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array))


def _sizes(state: dict[str, Tensor], strides: list[int], num_heads: int | None) -> TokenizerSizes:
    first = state["encoder.conv1.weight"]
    width = first.shape[0]
    layers = {name.split(".")[2] for name in state if name.startswith("encoder.blocks.")}
    common = {
        "n_mels": first.shape[1],
        "n_audio_state": width,
        "n_audio_head": num_heads or width // _HEAD_WIDTH,
        "n_audio_layer": len(layers),
        "first_stride": strides[0],
    }
    if "quantizer._codebook.embed" in state:
        return TokenizerSizes(
            version=1,
            n_codebook_size=len(state["quantizer._codebook.embed"]),
            n_audio_ctx=len(state["encoder.positional_embedding"]),
            **common,
        )
    return TokenizerSizes(version=2, **common)
