"""Flows that see whole utterances as ONNX graphs.

| graph | inputs | outputs |
|---|---|---|
| flow_speaker | speaker [W] | projected [1, M]; of CosyVoice only |
| flow_encoder | tokens [1, T] | columns [1, E, T] |
| flow_regulator | stretched [1, M, F] | mu [1, M, F]; of CosyVoice only |
| flow_estimator | x [R, M, F], mu [R, E, F], spks [R, W'], t [R] | velocity [R, M, F] |

Between encoder and regulator, or estimator, the caller stretches columns to frames. The estimator
of CosyVoice also has the input cond [R, M, F]. That of SimpleTTS takes one row, R = 1, and speaker
vectors of any length.

Shapes: W width of a speaker vector, T tokens, F frames, M mel bands, E width of columns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sled.codec.flow import cosyvoice, simpletts
from sled.codec.flow.attention import ChunkContext
from sled.codec.flow.base import Flow, WholeFlow
from sled.codec.flow.cosyvoice import CosyVoiceFlow
from sled.codec.flow.estimator import FlowInputs
from sled.codec.flow.simpletts import SimpleTTSFlow
from sled.codec.onnx_export import Called, export_onnx
from sled.onnx.model_graphs import StepContext

_FREE_FRAMES = {name: {2: "frames"} for name in ("x", "mu", "cond", "velocity")}


def export_whole_flow(flow: WholeFlow, folder: Path) -> dict[str, Any]:
    """Write the graphs of a flow.

    Args:
        flow: On the CPU.
        folder: The folder.

    Returns:
        What `sled.onnx.whole_tokens` has to know of it.

    Raises:
        ValueError: If it is of a kind that has no graphs, or `onnx` is not installed.
    """
    if isinstance(flow, CosyVoiceFlow):
        _export_cosyvoice(flow, folder)
        rate, end_tokens = cosyvoice.MEL_RATE, cosyvoice.END_TOKENS
    elif isinstance(flow, SimpleTTSFlow):
        _export_simpletts(flow, folder)
        rate, end_tokens = simpletts.MEL_RATE, 0
    else:
        raise ValueError(f"there are no graphs of a {flow.KIND}")
    return {"token_rate": flow.token_rate, "mel_rate": rate, "end_tokens": end_tokens}


def export_speaker(flow: Flow, folder: Path) -> None:
    """Write the graph that projects a speaker vector."""

    def project(speaker: Tensor) -> Tensor:
        return flow.project_speaker(speaker[None])

    speaker = {"speaker": torch.randn(flow.speaker_size)}
    export_onnx(Called(project, flow), speaker, ["projected"], {}, folder / "flow_speaker.onnx")


def _export_cosyvoice(flow: CosyVoiceFlow, folder: Path) -> None:
    export_speaker(flow, folder)

    def encode(tokens: Tensor) -> Tensor:
        embedded = flow.input_embedding(tokens)
        position = torch.arange(tokens.shape[1])[None]
        context = ChunkContext(position, flow.encoder.width, embedded)
        columns: Tensor = flow.encoder_proj(flow.encoder(embedded, context)).mT
        return columns

    _export_encoder(Called(encode, flow), folder)
    stretched = {"stretched": torch.randn(1, flow.num_mels, 8)}
    free = {"stretched": {2: "frames"}, "mu": {2: "frames"}}
    regulator = flow.length_regulator.model
    export_onnx(regulator, stretched, ["mu"], free, folder / "flow_regulator.onnx")

    def estimate(x: Tensor, mu: Tensor, spks: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        mask = torch.ones_like(x[:, :1])
        return flow.estimate(x, t, FlowInputs(mu, spks, cond), mask)

    x, mu, cond = torch.randn(3, 2, flow.num_mels, 8)
    inputs = {"x": x, "mu": mu, "spks": mu[..., 0], "t": torch.rand(2), "cond": cond}
    rows = {name: {0: "rows"} | _FREE_FRAMES.get(name, {}) for name in (*inputs, "velocity")}
    path = folder / "flow_estimator.onnx"
    export_onnx(Called(estimate, flow), inputs, ["velocity"], rows, path)


def _export_simpletts(flow: SimpleTTSFlow, folder: Path) -> None:
    layers, sizes = flow.llm.model, flow.sizes

    def encode(tokens: Tensor) -> Tensor:
        embedded: Tensor = layers.embed_tokens(tokens).mT
        return embedded

    _export_encoder(Called(encode, flow), folder)
    head_dim = sizes.hidden_size // sizes.num_attention_heads
    past = torch.zeros(0, sizes.num_key_value_heads, head_dim)

    def estimate(x: Tensor, mu: Tensor, spks: Tensor, t: Tensor) -> Tensor:
        speaker = F.normalize(spks, dim=-1)[..., None].expand(-1, -1, x.shape[2])
        inputs = torch.cat((speaker, mu, x), 1).mT
        sequence = torch.cat((flow.t_embedder(t)[:, None], flow.embed_mlp(inputs)), 1)[0]
        before = [past] * sizes.num_hidden_layers
        hidden = layers(sequence, StepContext(before, before, sequence.shape[0], layers))
        velocity: Tensor = flow.to_mels(hidden[1:]).mT[None]
        return velocity

    x, mu = torch.randn(1, flow.num_mels, 8), torch.randn(1, sizes.hidden_size, 8)
    inputs = {"x": x, "mu": mu, "spks": torch.randn(1, flow.speaker_size), "t": torch.rand(1)}
    free = {name: one for name, one in _FREE_FRAMES.items() if name != "cond"}
    path = folder / "flow_estimator.onnx"
    export_onnx(Called(estimate, flow), inputs, ["velocity"], free, path)


def _export_encoder(network: Called, folder: Path) -> None:
    tokens = {"tokens": torch.ones(1, 4, dtype=torch.long)}
    free = {"tokens": {1: "tokens"}, "columns": {2: "tokens"}}
    export_onnx(network, tokens, ["columns"], free, folder / "flow_encoder.onnx")
