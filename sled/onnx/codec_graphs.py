"""Decoders of codecs as ONNX graphs that run piece by piece.

A codec of latents has these graphs; states are in the order in which the layers run:

| graph | inputs | outputs |
|---|---|---|
| latents | units [n, D] | latents [k n, D'], those of the codec below its transforms |
| decoder_first | latents [n, D'] | audio [S], state.i |
| decoder_next | latents [n, D'], state.i | audio [S], state.i |

A codec of speech tokens whose flow runs in chunks has these, each also with states; for other flows
see `sled.onnx.whole_flow_graphs`:

| graph | inputs | outputs |
|---|---|---|
| flow_speaker | speaker [W] | projected [1, M] |
| flow_encoder | tokens [1, T, ...], later [1, L, ...], start [1] | mu [1, M, F] |
| flow_estimator | x, mu, cond [R, M, F], t [R], spks [R, M] | velocity [R, M, F] |
| vocoder_first, _next, _last | mel [1, M, F] | audio [S] |
| vocoder_whole | mel [1, M, F] | audio [S] |

The states of encoder and estimator begin with zeros. What attention remembers begins without
columns and grows; the caller cuts it, see `sled.codec.memory.Window`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from sled.codec import Codec, EncodecCodec, SpectralCodec
from sled.codec.encodec.streaming_layers import StreamingConvTranspose
from sled.codec.flow.attention import ChunkContext
from sled.codec.flow.base import WholeFlow, fixed_noise
from sled.codec.flow.cosyvoice2 import FRAMES_PER_TOKEN, ChunkedFlow
from sled.codec.flow.estimator import FlowInputs
from sled.codec.memory import Memory
from sled.codec.onnx_export import Called, export_onnx
from sled.codec.stream_state import LayerState
from sled.codec.token_codec.model import TokenCodec
from sled.codec.vocoder.base import Vocoder
from sled.onnx.whole_flow_graphs import export_speaker, export_whole_flow

Settings = dict[str, Any]
Arrays = dict[str, Tensor]


def export_codec(codec: Codec, folder: Path) -> tuple[Settings, Arrays]:
    """Write the graphs of a codec's decoder.

    Args:
        codec: On the CPU.
        folder: The folder.

    Returns:
        What `sled.onnx.audio` has to know of it, and constants.

    Raises:
        ValueError: If it is of a kind that has no graphs, or `onnx` is not installed.
    """
    below = codec.stored
    common = {"sample_rate": codec.sample_rate, "hop_length": codec.hop_length}
    if isinstance(below, TokenCodec):
        settings, arrays = _export_tokens(below, folder)
        return {**common, **settings}, arrays
    if isinstance(below, SpectralCodec):
        settings = _export_spectral(below, codec, folder)
    elif isinstance(below, EncodecCodec):
        settings = _export_encodec(below, codec, folder)
    else:
        raise ValueError(f"there are no graphs of a {type(below).__name__}")
    return {"kind": "latents", **common, "stored_hop_length": below.hop_length, **settings}, {}


# Codecs of latents.


def _export_spectral(codec: SpectralCodec, outer: Codec, folder: Path) -> Settings:
    networks, config = codec.networks, codec.networks.config
    _export_latents(outer, lambda stored: networks.to_latents(stored.mT).mT, folder)
    stack = networks.decoder.stack

    def step(latents: Tensor, states: list[LayerState] | None) -> tuple[Tensor, list[LayerState]]:
        return stack.step(latents.mT[None], states or ())

    example = torch.randn(config.lookahead_frames + 3, config.latent_size)
    _export_pieces(step, stack, example, folder)
    lookahead = config.lookahead_frames
    return {"start": lookahead + 1, "held": lookahead, "cut": lookahead * codec.hop_length}


def _export_encodec(codec: EncodecCodec, outer: Codec, folder: Path) -> Settings:
    network = codec.decoder_network()
    for layer in network.layers:
        if isinstance(layer, StreamingConvTranspose) and layer.trimmed_left:
            raise ValueError("there are no graphs of an Encodec whose trim_right_ratio is not 1")
    _export_latents(outer, lambda stored: stored, folder)

    def step(latents: Tensor, states: list[LayerState] | None) -> tuple[Tensor, list[LayerState]]:
        x, after = latents.mT[None], list[LayerState]()
        for number, layer in enumerate(network.layers):
            x, new = layer.step(x, states[number] if states else None)
            after.append(new)
        return x, after

    start = network.inputs_to_start
    _export_pieces(step, network.network, torch.randn(start + 2, codec.latent_dim), folder)
    return {"start": start, "held": 0, "cut": 0}


def _export_latents(codec: Codec, to_latents: Callable[[Tensor], Tensor], folder: Path) -> None:
    network = Called(lambda units: to_latents(codec.to_stored(units)))
    free = {"units": {0: "units"}, "latents": {0: "latents"}}
    example = {"units": torch.randn(3, *codec.unit_shape)}
    export_onnx(network, example, ["latents"], free, folder / "latents.onnx")


def _export_pieces(
    step: Callable[[Tensor, list[LayerState] | None], tuple[Tensor, list[LayerState]]],
    network: nn.Module,
    example: Tensor,
    folder: Path,
) -> None:
    """Write the graphs of the first piece and of later ones."""
    with torch.no_grad():
        _, states = step(example, None)
    sizes = [len(state) for state in states]

    def piece(latents: Tensor, *flat: Tensor) -> tuple[Tensor, ...]:
        given = iter(flat)
        before = [tuple(next(given) for _ in range(size)) for size in sizes] if flat else None
        audio, after = step(latents, before)
        return (audio[0, 0], *(one for state in after for one in state))

    flat = [one for state in states for one in state]
    for name, given in (("decoder_first", []), ("decoder_next", flat)):
        inputs = {"latents": example, **{f"state.{i}": one for i, one in enumerate(given)}}
        outputs = ["audio", *(f"new_state.{i}" for i in range(len(flat)))]
        free = {"latents": {0: "latents"}, "audio": {0: "samples"}}
        export_onnx(Called(piece, network), inputs, outputs, free, folder / f"{name}.onnx")


# Codecs of speech tokens.


class _GraphMemory(Memory):
    """A memory whose lengths are not fixed in a graph.

    Args:
        before: See `Memory`.
        ends: See there.
        rate: Columns of attention for each token.

    Attributes:
        grows: For each tensor in `after`, columns for each token if it is what attention remembers,
            else 0.
    """

    def __init__(
        self, before: Sequence[Tensor] | None, ends: bool = False, rate: int = FRAMES_PER_TOKEN
    ) -> None:
        super().__init__(before, ends)
        self.grows: list[int] = []
        self._rate = rate

    def at_rate(self, rate: int) -> _GraphMemory:
        """The same memory for layers of another rate, which run after those so far."""
        other = copy(self)
        other._rate = rate
        return other

    @override
    def keys(self, x: Tensor) -> Tensor:
        self.grows.append(self._rate)
        return super().keys(x)

    @override
    def together(self, *signals: Tensor) -> list[Tensor]:
        if not self.begins:
            signals = tuple(torch.cat((next(self._before), x), -1) for x in signals)
        columns = torch.stack([torch.as_tensor(x.shape[-1]) for x in signals]).min()
        for x in signals:
            self._keep(x, columns, -1)
        return [x[..., :columns] for x in signals]

    @override
    def _keep(self, x: Tensor, start: Any, dim: int) -> None:
        assert dim == -1
        if not self.ends:
            self.grows.append(0)
            self.after.append(x[..., start:])


def _export_tokens(codec: TokenCodec, folder: Path) -> tuple[Settings, Arrays]:
    networks = codec.networks
    flow, options = networks.flow, networks.settings.solver
    settings: Settings = {
        "token_shape": list(flow.token_shape),
        "speaker_size": flow.speaker_size,
        "times": options.times(),
        "guidance": options.guidance,
        "temperature": options.temperature,
        **_export_vocoder(networks.vocoder, folder),
        "speakers": list(networks.speakers),
    }
    if isinstance(flow, ChunkedFlow):
        left = networks.settings.left_frames
        settings |= {
            "kind": "tokens",
            "lookahead": flow.lookahead,
            "frames_per_token": FRAMES_PER_TOKEN,
            "chunks": _chunks(flow),
            "prompt_is_chunk": flow.chunk_after(0, 7) == 7,
            "left_frames": flow.left_frames if left is None else left,
            "encoder_states": _export_encoder(flow, folder / "flow_encoder.onnx"),
            "estimator_states": _export_estimator(flow, folder / "flow_estimator.onnx"),
        }
        export_speaker(flow, folder)
    else:
        assert isinstance(flow, WholeFlow)
        settings |= {"kind": "whole tokens", **export_whole_flow(flow, folder)}
    arrays = {
        f"voice.{name}.{condition}": one
        for name in networks.speakers
        for condition, one in codec.conditions_of_speaker(name).items()
    }
    return settings, arrays | {"noise": fixed_noise(flow.num_mels)}


def _chunks(flow: ChunkedFlow) -> list[int]:
    """Sizes of the chunks after a prompt; the last one is that of all later ones."""
    chunks, position = list[int](), 0
    while True:
        chunks.append(flow.chunk_after(position, 0))
        after = position + chunks[-1]
        if flow.stage_at(after, 0) == flow.stage_at(position, 0):
            return chunks
        position = after


def _export_encoder(flow: ChunkedFlow, path: Path) -> list[Settings]:
    """Write the encoder; returns what its states are like at the beginning."""
    shape = flow.token_shape

    def run(
        tokens: Tensor, later: Tensor, start: Tensor, before: Sequence[Tensor] | None
    ) -> tuple[Tensor, _GraphMemory]:
        memory = _GraphMemory(before, rate=1)
        embedded, ahead = flow.embed_tokens(tokens), flow.embed_tokens(later)
        states = flow.encoder.step(embedded, ahead, start, memory, memory.at_rate(FRAMES_PER_TOKEN))
        return flow.encoder_proj(states).mT, memory

    inputs = {
        "tokens": torch.ones(1, 4, *shape, dtype=torch.long),
        "later": torch.ones(1, flow.lookahead, *shape, dtype=torch.long),
        "start": torch.zeros(1, dtype=torch.long),
    }
    free = {"tokens": {1: "tokens"}, "later": {1: "later"}, "mu": {2: "frames"}}
    return _export_with_memory(run, flow, inputs, "mu", free, path)


def _export_estimator(flow: ChunkedFlow, path: Path) -> list[Settings]:
    """Write the estimator; returns what its states are like at the beginning."""

    def run(
        x: Tensor,
        mu: Tensor,
        cond: Tensor,
        time: Tensor,
        speaker: Tensor,
        before: Sequence[Tensor] | None,
    ) -> tuple[Tensor, _GraphMemory]:
        memory = _GraphMemory(before)
        mask = torch.ones_like(x[:, :1])
        nowhere = torch.zeros_like(x[:1, 0], dtype=torch.long)
        context = ChunkContext(nowhere, 0, x, None, memory)
        velocity = flow.estimator(x, time, FlowInputs(mu, speaker, cond), mask, context, memory)
        return velocity, memory

    shape = (2, flow.num_mels, 8)
    inputs = {name: torch.randn(shape) for name in ("x", "mu", "cond")}
    inputs |= {"t": torch.rand(2), "spks": torch.randn(2, flow.num_mels)}
    free: dict[str, dict[int, str]] = {name: {0: "rows"} for name in ("t", "spks")}
    free |= {name: {0: "rows", 2: "frames"} for name in ("x", "mu", "cond", "velocity")}
    return _export_with_memory(run, flow, inputs, "velocity", free, path)


def _export_with_memory(
    run: Callable[..., tuple[Tensor, _GraphMemory]],
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    output: str,
    free: dict[str, dict[int, str]],
    path: Path,
) -> list[Settings]:
    with torch.no_grad():
        _, memory = run(*inputs.values(), None)
    states: list[Settings] = [
        {
            "shape": list(one.shape[1:]),
            "type": "int64" if one.dtype == torch.long else "float32",
            "grows": grows,
        }
        for one, grows in zip(memory.after, memory.grows, strict=True)
    ]

    def step(*given: Tensor) -> tuple[Tensor, ...]:
        made, memory = run(*given[: len(inputs)], given[len(inputs) :])
        return (made, *memory.after)

    examples = dict(inputs)
    for index, (one, state) in enumerate(zip(memory.after, states, strict=True)):
        examples[f"state.{index}"] = one
        # Dimensions of equal names would have to be equal.
        for name in (f"state.{index}", f"new_state.{index}"):
            free[name] = {0: "rows"} | ({1: f"{name}.columns"} if state["grows"] else {})
        if state["grows"]:
            state["shape"][0] = 0
    outputs = [output, *(f"new_state.{index}" for index in range(len(states)))]
    export_onnx(Called(step, network), examples, outputs, free, path)
    return states


def _export_vocoder(vocoder: Vocoder, folder: Path) -> Settings:
    frames = vocoder.lookahead_frames + 3
    mel = torch.randn(1, vocoder.sizes.in_channels, frames)
    with torch.no_grad():
        first = _GraphMemory(None)
        vocoder.step(mel, first)
    for name, begins, ends in (
        ("first", True, False),
        ("next", False, False),
        ("last", False, True),
        ("whole", True, True),
    ):

        def step(mel: Tensor, *before: Tensor, ends: bool = ends) -> tuple[Tensor, ...]:
            memory = _GraphMemory(before or None, ends)
            return (vocoder.step(mel, memory)[0], *memory.after)

        inputs = {"mel": mel}
        if not begins:
            inputs |= {f"state.{index}": one for index, one in enumerate(first.after)}
        outputs = ["audio"]
        if not ends:
            outputs += [f"new_state.{index}" for index in range(len(first.after))]
        free = {"mel": {2: "frames"}, "audio": {0: "samples"}}
        for index, one in enumerate(first.after):
            for state in (f"state.{index}", f"new_state.{index}"):
                free[state] = {one.ndim - 1: f"{state}.columns"} if one.ndim > 1 else {}
        free = {one: names for one, names in free.items() if one in (*inputs, *outputs)}
        export_onnx(Called(step, vocoder), inputs, outputs, free, folder / f"vocoder_{name}.onnx")
    return {
        "vocoder_lookahead": vocoder.lookahead_frames,
        "vocoder_hop": vocoder.hop_length,
    }
