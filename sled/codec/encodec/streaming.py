"""Encodec fed piece by piece, equal to Encodec fed the whole at once.

The convolutions of a causal Encodec look back only, so each input determines its outputs at once,
with one exception: at the beginning of the signal there is nothing to look back at. Most Encodecs,
including the published ones, pad it with a mirror image of the beginning. A convolution that looks
back p columns then needs columns 0 ... p for its first output. In the usual decoder the first
convolution needs the most, because it looks back 6 frames: no exact decoder can return samples
before the 7th frame is fed. For the encoder the same calculation gives 7 * 320 samples.

A stream therefore keeps its inputs until every layer has what it needs for its mirror image. It
then feeds them all at once, and after that each piece as it comes. A signal that ends earlier is
given to the network as a whole, which handles a mirror longer than the signal.

Shapes: B batch, C channels, n columns, T frames, S samples, D latent width, K codebooks.
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor
from typing_extensions import override

from sled.codec.base import StreamingDecoder, StreamingEncoder
from sled.codec.encodec.config import EncodecConfig
from sled.codec.encodec.network import Layers
from sled.codec.encodec.streaming_layers import streaming_layer
from sled.codec.stream_state import LayerState, StreamState

_PAD_MODES = ("constant", "reflect", "replicate")


class StreamingNetwork:
    """An encoder or decoder of Encodec as a function of a piece and a state.

    Args:
        network: the model's `encoder` or `decoder`. Its weights must not change any more:
            normalized weights are computed once.
        config: of the model.

    Attributes:
        network: see above.
        layers: its layers, in the order in which they run.
        inputs_to_start: columns that must be fed before any is returned.

    Raises:
        ValueError: if the network is not causal and therefore cannot be streamed.
    """

    def __init__(self, network: Layers, config: EncodecConfig) -> None:
        for key, possible in (
            ("use_causal_conv", (True,)),
            ("norm_type", ("weight_norm",)),  # the other one averages over all time
            ("pad_mode", _PAD_MODES),
        ):
            if (value := getattr(config, key)) not in possible:
                raise ValueError(
                    f"this codec cannot be streamed: its {key} is {value!r}, which needs the whole "
                    f"signal at once (possible: {', '.join(map(repr, possible))}); use encode and "
                    "decode instead"
                )
        self.network = network
        self.layers = [streaming_layer(module) for module in network.layers]
        self._device = next(network.parameters()).device
        self._in_channels, self._out_channels = network.in_channels, network.out_channels
        self.inputs_to_start = next(n for n in itertools.count(1) if self.outputs(n))

    def new_state(self, batch_size: int) -> StreamState:
        """The state of B streams before their first input.

        Raises:
            ValueError: if the batch is empty.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        return StreamState(torch.empty(batch_size, self._in_channels, 0, device=self._device))

    def outputs(self, inputs: int) -> int:
        """Columns returned once this many have been fed, before `finish`."""
        columns = inputs
        for layer in self.layers:
            if columns < layer.inputs_to_start:
                return 0
            columns = layer.outputs(columns)
        return max(0, columns)

    @torch.no_grad()
    def step(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Feed a piece, of any length: [B, C, n] -> float32 [B, C', m], and the new state."""
        x = x.to(self._device, torch.float32)
        waiting = state.waiting
        if not state.started:
            x = torch.cat((waiting, x), -1)
            if x.shape[-1] < self.inputs_to_start:
                return self._nothing(x), StreamState(x)
            waiting = x.new_empty(*x.shape[:2], 0)
        before = state.layers or (None,) * len(self.layers)
        after: list[LayerState] = []
        with torch.autocast(self._device.type, enabled=False):
            for layer, remembered in zip(self.layers, before, strict=True):
                if x.shape[-1] == 0:  # less than a stride of the layer before
                    break
                x, remembered = layer.step(x, remembered)
                after.append(remembered)
        new_state = StreamState(waiting, (*after, *state.layers[len(after) :]))
        return x if x.shape[-1] else self._nothing(x), new_state

    @torch.no_grad()
    def finish(self, state: StreamState) -> Tensor:
        """End the signal: the remaining columns [B, C', m]."""
        with torch.autocast(self._device.type, enabled=False):
            if not state.started:
                x = state.waiting
                whole: Tensor = self.network(x) if x.shape[-1] else self._nothing(x)
                return whole
            due: Tensor | None = None
            for layer, remembered in zip(self.layers, state.layers, strict=True):
                pieces = []
                if due is not None:
                    piece, remembered = layer.step(due, remembered)
                    pieces.append(piece)
                if (last := layer.finish(remembered)) is not None:
                    pieces.append(last)
                due = torch.cat(pieces, -1) if pieces else None
        return self._nothing(state.waiting) if due is None else due

    def _nothing(self, like: Tensor) -> Tensor:
        return like.new_empty(len(like), self._out_channels, 0)


class EncodecStreamingDecoder(StreamingDecoder):
    """Latents to speech; the module's docstring says when samples are returned."""

    def __init__(self, network: StreamingNetwork, batch_size: int) -> None:
        self._network = network
        self.state = network.new_state(batch_size)
        self.lookahead_frames = network.inputs_to_start - 1

    @override
    def samples_after(self, frames: int) -> int:
        return self._network.outputs(frames)

    @override
    def decode(self, units: Tensor) -> Tensor:
        batch, width, _ = self.state.waiting.shape
        if units.ndim != 3 or units.shape[0] != batch or units.shape[2] != width:
            raise ValueError(f"latents must be [{batch}, frames, {width}], got {list(units.shape)}")
        audio, self.state = self._network.step(units.transpose(1, 2), self.state)
        return audio.squeeze(1)

    @override
    def finish(self) -> Tensor:
        audio = self._network.finish(self.state)
        self.state = self._network.new_state(self.state.batch_size)
        return audio.squeeze(1)


class EncodecStreamingEncoder(StreamingEncoder):
    """Speech to codes; the module's docstring says when codes are returned.

    Args:
        network: the encoder.
        quantize: float [B, T, D] -> int64 codes [B, K, T], each frame for itself.
        batch_size: the number of clips, B.
    """

    def __init__(
        self, network: StreamingNetwork, quantize: Callable[[Tensor], Tensor], batch_size: int
    ) -> None:
        self._network = network
        self._quantize = quantize
        self.state = network.new_state(batch_size)
        self.lookahead_samples = network.inputs_to_start - 1

    @override
    def frames_after(self, samples: int) -> int:
        return self._network.outputs(samples)

    @override
    def encode(self, waveforms: Tensor) -> Tensor:
        if waveforms.ndim != 2 or len(waveforms) != self.state.batch_size:
            raise ValueError(
                f"waveforms must be [{self.state.batch_size}, samples], got {list(waveforms.shape)}"
            )
        features, self.state = self._network.step(waveforms[:, None], self.state)
        return self._quantize(features.transpose(1, 2))

    @override
    def finish(self) -> Tensor:
        features = self._network.finish(self.state)
        self.state = self._network.new_state(self.state.batch_size)
        return self._quantize(features.transpose(1, 2))
