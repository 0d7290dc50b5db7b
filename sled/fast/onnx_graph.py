"""Writes the model as ONNX graphs for ONNX Runtime.

The graphs use the runtime's operators for language models: one multiplies by quantized weights,
another applies rotary embeddings, extends the cache and attends. A model has three graphs, written
by `write_embedding`, `write_backbone` and `write_head`.

Shapes: R rows, Q new inputs per row, C capacity of the cache, H hidden width, A heads, d head
width, F frames to read, U frames to draw, N noise width, W head width, D latent width.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from sled.fast.quantize import quantize_blocks
from sled.model.backbone import MLP, Attention, Backbone, DecoderLayer, rotary_tables
from sled.model.config import Architecture
from sled.model.heads.energy import EPSILON, EnergyHead, ResidualBlock

OPSET, IR_VERSION = 17, 8
MICROSOFT = "com.microsoft"
# Accuracy level of MatMulNBits: inputs are quantized to 8 bits as well, and integers multiplied.
INTEGER_PRODUCTS = 4
BLOCK_SIZE = 128
MODEL_FILE, WEIGHTS_FILE = "model.onnx", "weights.bin"


def tensor_type(dtype: np.dtype | type) -> int:
    """Return the ONNX number of a type."""
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


class Graph:
    """Builds an ONNX graph. Weights are written to a file at once, so they take no memory.

    Args:
        folder: An empty folder for the files.
        bits: Bits of a matrix weight: 8, or 32 for float32.
    """

    def __init__(self, folder: Path, bits: int) -> None:
        self.bits = bits
        self._folder, self._file = folder, (folder / WEIGHTS_FILE).open("wb")
        self._digest = hashlib.sha256()
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def save(self) -> tuple[Path, str]:
        """Finish the files; return the path of the graph and a digest of its weights."""
        self._file.close()
        graph = helper.make_graph(self._nodes, "sled", self._inputs, self._outputs, self._weights)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        path = self._folder / MODEL_FILE
        path.write_bytes(model.SerializeToString())
        return path, self._digest.hexdigest()

    def input(self, name: str, shape: list[str | int], dtype: type = np.float32) -> str:
        """Declare an input; return its name."""
        kind = tensor_type(dtype)
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(
        self, name: str, value: str, shape: list[str | int], dtype: type = np.float32
    ) -> None:
        """Declare a value as the output of this name."""
        if name != value:
            self.call("Identity", [value], outputs=[name])
        self._outputs.append(helper.make_tensor_value_info(name, tensor_type(dtype), shape))

    def weight(self, value: Tensor) -> str:
        """Add a constant; return its name."""
        data = value.detach().contiguous().numpy()
        name = f"weight{len(self._weights)}"
        place = onnx.TensorProto(name=name, data_type=tensor_type(data.dtype), dims=data.shape)
        place.data_location = onnx.TensorProto.EXTERNAL
        where = {"location": WEIGHTS_FILE, "offset": self._file.tell(), "length": data.nbytes}
        for key, entry in where.items():
            place.external_data.add(key=key, value=str(entry))
        self._weights.append(place)
        self._file.write(data.data)
        self._digest.update(data.data)
        return name

    def call(
        self,
        operator: str,
        inputs: list[str],
        outputs: list[str] | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> str:
        """Apply an operator.

        Args:
            operator: Name of the operator.
            inputs: Names of its inputs; "" omits an optional one.
            outputs: Names of its outputs. None: only the first, under a new name.
            domain: Domain of the operator.
            **attributes: Attributes of the operator.

        Returns:
            The name of the first output.
        """
        outputs = outputs or [f"value{len(self._nodes)}"]
        self._nodes.append(helper.make_node(operator, inputs, outputs, domain=domain, **attributes))
        return outputs[0]

    def linear(self, x: str, weight: Tensor, bias: Tensor | None = None) -> str:
        """Multiply `x` [..., K] by a weight [N, K] and add a bias [N]."""
        num_outputs, num_inputs = weight.shape
        if self.bits == 32:
            product = self.call("MatMul", [x, self.weight(weight.float().T)])
        else:
            codes, scales = quantize_blocks(weight, BLOCK_SIZE)
            product = self.call(
                "MatMulNBits",
                [x, self.weight(codes), self.weight(scales.flatten())],
                domain=MICROSOFT,
                K=num_inputs,
                N=num_outputs,
                bits=self.bits,
                block_size=BLOCK_SIZE,
                accuracy_level=INTEGER_PRODUCTS,
            )
        return product if bias is None else self.call("Add", [product, self.weight(bias.float())])

    def silu(self, x: str) -> str:
        """Apply the SiLU: x times the sigmoid of x."""
        return self.call("QuickGelu", [x], domain=MICROSOFT, alpha=1.0)


@torch.no_grad()
def write_embedding(graph: Graph, projection: nn.Linear, norm: nn.LayerNorm) -> None:
    """Write the input embedding: `latents` [F, D] to `embedded` [F, H]."""
    latents = graph.input("latents", ["F", projection.in_features])
    x = graph.linear(latents, projection.weight, projection.bias)
    embedded = _layer_norm(graph, x, norm.weight, norm.bias)
    graph.output("embedded", embedded, ["F", projection.out_features])


@torch.no_grad()
def write_backbone(
    graph: Graph, backbone: Backbone, architecture: Architecture, cache_dtype: torch.dtype
) -> None:
    """Write the layers and the final norm.

    Inputs of the graph:
        x: [R, Q, H] new inputs.
        keys.{layer}, values.{layer}: [R, A_kv, C, d] the cache of each layer.
        last: int32 [R] the position of the last new input of each row.
        total: int32 [1] the largest number of positions of a row, new ones included.

    Outputs of the graph:
        hidden: [R, Q, H] hidden states.
        new_keys.{layer}, new_values.{layer}: The extended cache of each layer.

    Args:
        graph: An empty graph.
        backbone: The layers. They are removed one by one, to hold their weights only once.
        architecture: Sizes of the model.
        cache_dtype: Type of keys and values.
    """
    states: list[str | int] = ["R", "Q", architecture.hidden_size]
    residual = graph.input("x", states)
    attention = _Attention(graph, architecture, cache_dtype)
    branch = None
    for number in range(architecture.num_hidden_layers):
        layer = backbone.layers.pop(0)
        assert isinstance(layer, DecoderLayer)
        mlp = layer.mlp
        assert isinstance(mlp, MLP)
        normed, residual = _norm(graph, residual, branch, layer.input_layernorm)
        branch = attention.apply(normed, layer.self_attn, number)
        normed, residual = _norm(graph, residual, branch, layer.post_attention_layernorm)
        gate = graph.silu(graph.linear(normed, mlp.gate_proj.weight))
        gated = graph.call("Mul", [gate, graph.linear(normed, mlp.up_proj.weight)])
        branch = graph.linear(gated, mlp.down_proj.weight)
    hidden, _ = _norm(graph, residual, branch, backbone.norm)
    graph.output("hidden", hidden, states)


def _norm(
    graph: Graph, residual: str, branch: str | None, norm: torch.nn.RMSNorm
) -> tuple[str, str]:
    """Add a branch to the residual stream; return the RMS norm of the sum, and the sum."""
    gain, epsilon = graph.weight(norm.weight.float()), norm.eps
    if branch is None:
        inputs = [residual, gain]
        normed = graph.call("SimplifiedLayerNormalization", inputs, axis=-1, epsilon=epsilon)
        return normed, residual
    inputs, outputs = [residual, branch, gain], [f"{branch}.normed", "", "", f"{branch}.sum"]
    graph.call(
        "SkipSimplifiedLayerNormalization", inputs, outputs, domain=MICROSOFT, epsilon=epsilon
    )
    return outputs[0], outputs[3]


class _Attention:
    """Attention of the new inputs to all positions of their rows."""

    def __init__(self, graph: Graph, architecture: Architecture, cache_dtype: torch.dtype) -> None:
        self._graph, self._architecture = graph, architecture
        self._kind = np.float16 if cache_dtype == torch.float16 else np.float32
        tables = rotary_tables(
            architecture.max_position_embeddings,
            architecture.head_dim,
            architecture.rope_theta,
            torch.device("cpu"),
            cache_dtype,
        )
        self._context = [
            graph.input("last", ["R"], np.int32),
            graph.input("total", [1], np.int32),
            # The second half of each table repeats the first; the operator takes one half.
            *(graph.weight(table[:, : architecture.head_dim // 2]) for table in tables),
        ]

    def apply(self, x: str, attention: Attention, number: int) -> str:
        """Apply the attention of a layer to `x`; return the output."""
        graph, architecture = self._graph, self._architecture
        # The scale is folded into the queries: the operator is fastest with a scale of 1.
        query = attention.q_proj.weight.float() * architecture.head_dim**-0.5
        fused = torch.cat((query, attention.k_proj.weight.float(), attention.v_proj.weight.float()))
        shape: list[str | int] = ["R", architecture.num_key_value_heads, "C", architecture.head_dim]
        memory = [graph.input(f"{what}.{number}", shape, self._kind) for what in ("keys", "values")]
        grown = [f"new_{name}" for name in memory]
        attended = graph.call(
            "GroupQueryAttention",
            [self._cast(graph.linear(x, fused), self._kind), "", "", *memory, *self._context],
            [f"attended.{number}", *grown],
            domain=MICROSOFT,
            num_heads=architecture.num_attention_heads,
            kv_num_heads=architecture.num_key_value_heads,
            do_rotary=1,
            scale=1.0,
        )
        for name in grown:
            graph.output(name, name, shape, self._kind)
        return graph.linear(self._cast(attended, np.float32), attention.o_proj.weight)

    def _cast(self, x: str, kind: type) -> str:
        if self._kind is np.float32:
            return x
        return self._graph.call("Cast", [x], to=tensor_type(kind))


@torch.no_grad()
def write_head(graph: Graph, head: EnergyHead, architecture: Architecture) -> None:
    """Write the energy head: `hidden` [U, H] and `noise` [U, N] to `latents` [U, D]."""
    net, width = head.net, architecture.diffloss_w
    hidden = graph.input("hidden", ["U", architecture.hidden_size])
    noise = graph.input("noise", ["U", architecture.noise_channels])
    y = graph.linear(noise, net.input_proj.weight, net.input_proj.bias)
    x = graph.linear(hidden, net.cond_embed.weight, net.cond_embed.bias)
    for block in net.res_blocks:
        assert isinstance(block, ResidualBlock)
        first, second = block.mlp[0], block.mlp[2]
        assert isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
        norm = block.noise_ln
        modulation = _layer_norm(graph, y, norm.weight, norm.bias)
        shift, scale, gate = _modulation(graph, modulation, block.adaLN_modulation[1], 3)
        inner = _modulated_norm(graph, x, shift, scale, width)
        inner = graph.silu(graph.linear(inner, first.weight, first.bias))
        inner = graph.linear(inner, second.weight, second.bias)
        x = graph.call("Add", [x, graph.call("Mul", [gate, inner])])
    final = net.final_layer
    shift, scale = _modulation(graph, y, final.adaLN_modulation[1], 2)
    x = _modulated_norm(graph, x, shift, scale, width)
    latents = graph.linear(x, final.linear.weight, final.linear.bias)
    graph.output("latents", latents, ["U", architecture.vae_embed_dim])


def _modulation(graph: Graph, y: str, linear: nn.Module, parts: int) -> list[str]:
    """Return shift, 1 + scale and, if `parts` is 3, gate of a modulation, each [U, W]."""
    assert isinstance(linear, nn.Linear)
    width = linear.out_features // parts
    bias = linear.bias.float().clone()
    bias[width : 2 * width] += 1.0
    joint = graph.linear(graph.silu(y), linear.weight, bias)
    names = [f"{joint}.{part}" for part in range(parts)]
    graph.call("Split", [joint], names, axis=-1)
    return names


def _modulated_norm(graph: Graph, x: str, shift: str, scale: str, width: int) -> str:
    normed = _layer_norm(graph, x, torch.ones(width))
    return graph.call("Add", [graph.call("Mul", [normed, scale]), shift])


def _layer_norm(graph: Graph, x: str, weight: Tensor, bias: Tensor | None = None) -> str:
    affine = [weight] if bias is None else [weight, bias]
    names = [graph.weight(one.float()) for one in affine]
    return graph.call("LayerNormalization", [x, *names], axis=-1, epsilon=EPSILON)
