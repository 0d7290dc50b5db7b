"""The layers of Encodec, fed piece by piece.

A layer is a function of a piece and a state, which holds what it needs of earlier pieces; it
returns the new state and stores nothing itself. It shares its weights with the module it stands
for, but applies weight normalization once, not in each pass. Its first piece must be long enough
for the padding at the beginning (`inputs_to_start`); `StreamingNetwork` ensures this for all
layers at once.

Shapes: B batch, C channels, n columns, which are points in time at the layer's own rate.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from sled.codec.encodec.network import Conv, ConvTranspose, Lstm, ResidualBlock
from sled.codec.stream_state import LayerState


class StreamingLayer(ABC):
    """One layer.

    Attributes:
        inputs_to_start: columns that the first piece must have at least.
    """

    inputs_to_start: int = 1

    @abstractmethod
    def step(self, x: Tensor, state: LayerState | None) -> tuple[Tensor, LayerState]:
        """Feed a piece.

        Args:
            x: [B, C, n] with n >= 1, and n >= inputs_to_start in the first piece.
            state: what the last step returned; None in the first.

        Returns:
            The columns [B, C', m] that do not depend on later pieces, and the new state.
        """

    def finish(self, state: LayerState) -> Tensor | None:
        """The columns [B, C', m] that depend on the end of the signal; None if there are none."""
        return None

    def outputs(self, inputs: int) -> int:
        """Columns returned once this many have been fed, before `finish`."""
        return inputs


class StreamingConv(StreamingLayer):
    """A causal convolution.

    Its state holds the columns that later outputs need. The signal is padded by `padding` columns
    on the left. If they mirror the signal, they are its columns padding, ..., 2, 1, so the first
    output needs column `padding`. If the stride does not divide the length, `finish` pads the
    signal on the right as well.
    """

    def __init__(self, module: Conv) -> None:
        self.weight, self.bias = module.conv.effective_weight().detach(), module.conv.bias
        self.stride, self.dilation = module.stride, module.dilation
        self.span, self.padding = module.span, module.padding
        self.pad_mode = module.pad_mode
        self.inputs_to_start = self.padding + 1 if self.pad_mode == "reflect" else 1

    def convolve(self, x: Tensor) -> Tensor:
        """Apply the weights to every full span, without any padding."""
        return F.conv1d(x, self.weight, self.bias, self.stride, 0, self.dilation)

    @override
    def step(self, x: Tensor, state: LayerState | None) -> tuple[Tensor, LayerState]:
        if state is None:
            x = F.pad(x, (self.padding, 0), self.pad_mode)
        else:
            x = torch.cat((*state, x), -1)
        outputs = (x.shape[-1] - self.span) // self.stride + 1
        # Cloned: a view would keep the whole piece alive.
        tail = x[..., outputs * self.stride :].clone()
        if outputs == 0:
            return x.new_empty(len(x), len(self.weight), 0), (tail,)
        return self.convolve(x), (tail,)

    @override
    def finish(self, state: LayerState) -> Tensor | None:
        (tail,) = state
        unread = tail.shape[-1] - self.padding
        if unread == 0:
            return None
        return self.convolve(F.pad(tail, (0, self.stride - unread), self.pad_mode))

    @override
    def outputs(self, inputs: int) -> int:
        return inputs // self.stride


class StreamingConvTranspose(StreamingLayer):
    """A transposed convolution, whose outputs overlap with those of the next piece.

    Its state holds what earlier inputs contribute to columns that later inputs contribute to as
    well. If some of the surplus is trimmed on the left (`trim_right_ratio`), all output is later
    by that much, and `finish` returns the rest.
    """

    def __init__(self, module: ConvTranspose) -> None:
        self.weight, self.bias = module.conv.effective_weight().detach(), module.conv.bias
        self.stride, self.overlap = module.stride, module.surplus
        self.trimmed_left = module.trimmed_left

    @override
    def step(self, x: Tensor, state: LayerState | None) -> tuple[Tensor, LayerState]:
        y = F.conv_transpose1d(x, self.weight, self.bias, self.stride)
        if state is not None:
            y[..., : self.overlap] += state[0]
        settled = x.shape[-1] * self.stride
        # Later columns include the bias, so it is not stored.
        tail = y[..., settled:] - self.bias[:, None]
        return y[..., self.trimmed_left if state is None else 0 : settled], (tail,)

    @override
    def finish(self, state: LayerState) -> Tensor | None:
        if self.trimmed_left == 0:
            return None
        return state[0][..., : self.trimmed_left] + self.bias[:, None]

    @override
    def outputs(self, inputs: int) -> int:
        return inputs * self.stride - self.trimmed_left


class StreamingLSTM(StreamingLayer):
    """The recurrent layers with their skip connection. The state holds hidden and cell states."""

    def __init__(self, module: Lstm) -> None:
        self.lstm = module.lstm

    @override
    def step(self, x: Tensor, state: LayerState | None) -> tuple[Tensor, LayerState]:
        x = x.permute(2, 0, 1)
        before = None
        if state is not None:
            hidden, cell = (tensor.transpose(0, 1).contiguous() for tensor in state)
            before = (hidden, cell)
        y, (hidden, cell) = self.lstm(x, before)
        # [layers, B, C] -> [B, layers, C], rows first as everywhere in a state.
        return (y + x).permute(1, 2, 0), (hidden.transpose(0, 1), cell.transpose(0, 1))


class StreamingResidual(StreamingLayer):
    """A residual block. Only its first convolution looks back; the others use single columns."""

    def __init__(self, module: ResidualBlock) -> None:
        _, first, _, second = module.block
        assert isinstance(first, Conv)
        assert isinstance(second, Conv)
        self.conv, self.pointwise = StreamingConv(first), StreamingConv(second)
        assert self.pointwise.span == 1
        self.shortcut: StreamingConv | None = None
        if module.shortcut is not None:
            self.shortcut = StreamingConv(module.shortcut)
        self.inputs_to_start = self.conv.inputs_to_start

    @override
    def step(self, x: Tensor, state: LayerState | None) -> tuple[Tensor, LayerState]:
        y, state = self.conv.step(F.elu(x), state)
        y = self.pointwise.convolve(F.elu(y))
        return (x if self.shortcut is None else self.shortcut.convolve(x)) + y, state


class StreamingELU(StreamingLayer):
    """The activation between layers; it has no state."""

    @override
    def step(self, x: Tensor, state: LayerState | None) -> tuple[Tensor, LayerState]:
        return F.elu(x), ()


def streaming_layer(module: nn.Module) -> StreamingLayer:
    """The streaming form of one layer of Encodec's encoder or decoder."""
    match module:
        case Conv():
            return StreamingConv(module)
        case ConvTranspose():
            return StreamingConvTranspose(module)
        case Lstm():
            return StreamingLSTM(module)
        case ResidualBlock():
            return StreamingResidual(module)
        case nn.ELU():
            return StreamingELU()
    raise TypeError(f"Encodec has no layer of type {type(module).__name__}")
