"""The decoder of Encodec in compiled kernels.

Streams have the same states as those of `sled.codec.encodec.streaming`.

Shapes: B streams, T frames, S samples, n columns, C channels, D latent width, L LSTM layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from sled.codec.encodec.config import EncodecConfig
from sled.codec.encodec.network import Conv, ConvTranspose, Layers, Lstm, ResidualBlock
from sled.codec.encodec.streaming import StreamingNetwork
from sled.codec.stream_state import LayerState, StreamState
from sled.fast.native.library import (
    Convolution,
    Decoder,
    Kernels,
    Library,
    Matrix,
    Recurrence,
    Residual,
    addresses,
    open_library,
)
from sled.fast.native.weights import LANES, Packer

# So few that the columns of all layers stay in the CPU's caches.
FRAMES_AT_ONCE = 8
PADDINGS = {"constant": 0, "reflect": 1, "replicate": 2}


class NativeStreamingDecoder(StreamingNetwork):
    """A decoder of Encodec as a function of a piece and a state.

    Args:
        network: The model's decoder, on the CPU. Its weights must not change any more.
        config: Of the model.

    Raises:
        ValueError: If the network cannot be streamed.
    """

    def __init__(self, network: Layers, config: EncodecConfig) -> None:
        super().__init__(network, config)
        library = open_library()
        self._kernels: Kernels | None = None
        if library is not None and _has_kernels(config):
            self._prepare(library, network, config)

    def _prepare(self, library: Library, network: Layers, config: EncodecConfig) -> None:
        self._packer = Packer()
        plain = [layer for layer in network.layers if not isinstance(layer, nn.ELU)]
        ups = [layer for layer in plain if isinstance(layer, ConvTranspose)]
        residuals = [layer for layer in plain if isinstance(layer, ResidualBlock)]
        lstm = next((layer for layer in plain if isinstance(layer, Lstm)), None)
        recurrences = [] if lstm is None else self._recurrences(lstm.lstm)
        first, last = plain[0], plain[-1]
        assert isinstance(first, Conv) and isinstance(last, Conv)
        self._structure = Decoder(
            latent=first.in_channels,
            padding=PADDINGS[config.pad_mode],
            hop=config.hop_length,
            frames_at_once=max(FRAMES_AT_ONCE, self.inputs_to_start),
            num_recurrences=len(recurrences),
            num_ups=len(ups),
            num_residuals=len(residuals) // len(ups),
            first=self._convolution(first),
            last=self._convolution(last),
            recurrences=(Recurrence * len(recurrences))(*recurrences),
            ups=(Convolution * len(ups))(*(self._up(layer) for layer in ups)),
            residuals=(Residual * len(residuals))(*map(self._residual, residuals)),
        )
        self._kernels = Kernels(library, None, 1)
        self._hop = config.hop_length
        self._shapes = [_state_shapes(layer) for layer in network.layers]

    def _convolution(self, layer: Conv) -> Convolution:
        weight = layer.conv.effective_weight()  # [C', C, taps]
        return Convolution(
            matrix=self._packer.matrix(
                weight.transpose(1, 2).flatten(1), layer.conv.bias, narrow=True
            ),
            taps=weight.shape[2],
            stride=1,
            num_inputs=layer.in_channels,
            num_outputs=layer.out_channels,
        )

    def _up(self, layer: ConvTranspose) -> Convolution:
        weight = layer.conv.effective_weight().permute(2, 1, 0)  # [2 stride, C', C]
        now, later = (half.flatten(0, 1) for half in weight.chunk(2))  # [stride C', C]
        bias = layer.conv.bias
        return Convolution(
            # Of the column before, then of the column itself.
            matrix=self._packer.matrix(
                torch.cat((later, now), 1), bias.repeat(layer.stride), narrow=True
            ),
            tail=self._packer.matrix(later, narrow=True),
            taps=2,
            stride=layer.stride,
            num_inputs=weight.shape[2],
            num_outputs=weight.shape[1],
        )

    def _recurrences(self, lstm: nn.LSTM) -> list[Recurrence]:
        return [
            Recurrence(
                input=self._matrix(
                    getattr(lstm, f"weight_ih_l{layer}"),
                    getattr(lstm, f"bias_ih_l{layer}") + getattr(lstm, f"bias_hh_l{layer}"),
                ),
                hidden=self._matrix(getattr(lstm, f"weight_hh_l{layer}")),
            )
            for layer in range(lstm.num_layers)
        ]

    def _matrix(self, weight: Tensor, bias: Tensor | None = None) -> Matrix:
        return self._packer.matrix(weight, bias)

    def _residual(self, layer: ResidualBlock) -> Residual:
        _, first, _, second = layer.block
        assert isinstance(first, Conv) and isinstance(second, Conv)
        residual = Residual(
            first=self._convolution(first),
            second=self._convolution(second),
            has_shortcut=layer.shortcut is not None,
        )
        if layer.shortcut is not None:
            residual.shortcut = self._convolution(layer.shortcut)
        return residual

    @override
    def step(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        waiting = state.waiting
        frames = x.shape[-1] + (0 if state.started else waiting.shape[-1])
        if self._kernels is None or not frames or not x.shape[-1]:
            return super().step(x, state)
        if not state.started:
            if frames < self.inputs_to_start:
                return super().step(x, state)
            x, waiting = torch.cat((waiting, x), -1), waiting[..., :0]
        columns = x.to(torch.float32).transpose(1, 2).contiguous()  # [B, T, D]
        batch = len(columns)
        after: tuple[LayerState, ...] = tuple(
            tuple(torch.empty(batch, *shape) for shape in shapes) for shapes in self._shapes
        )
        audio = torch.empty(batch, 1, frames * self._hop)
        before = [part.contiguous() for layer in state.layers for part in layer]
        self._kernels.call(
            "decode",
            self._structure,
            columns.data_ptr(),
            batch,
            frames,
            addresses(before) if before else None,
            addresses([part for layer in after for part in layer]),
            audio.data_ptr(),
        )
        return audio, StreamState(waiting, after)


def _has_kernels(config: EncodecConfig) -> bool:
    """Whether there are kernels for the decoder of such an Encodec."""
    channels = config.num_filters * 2 ** len(config.upsampling_ratios)
    dilated = config.num_residual_layers > 1 and config.dilation_growth_rate > 1
    return (
        config.trim_right_ratio == 1
        and not dilated
        and channels % LANES == 0
        and len(config.upsampling_ratios) > 0
    )


def _state_shapes(layer: nn.Module) -> list[tuple[int, ...]]:
    """The shapes of what a layer remembers of a stream."""
    match layer:
        case Conv():
            return [(layer.in_channels, layer.padding)]
        case ConvTranspose():
            return [(layer.conv.bias.shape[0], layer.surplus)]
        case Lstm():
            return [(layer.lstm.num_layers, layer.lstm.hidden_size)] * 2
        case ResidualBlock():
            first = layer.block[1]
            assert isinstance(first, Conv)
            return [(first.in_channels, first.padding)]
    return []
