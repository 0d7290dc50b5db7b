"""The network of a spectral codec's decoder in compiled kernels.

States are those of `sled.codec.spectral.layers`. The sound source, whose work is mostly Fourier
transforms, stays in PyTorch.

Shapes: B streams, T latents, D latent width, n columns, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from sled.codec.spectral.layers import (
    Block,
    CausalConv,
    CausalLayer,
    CausalStack,
    ChannelNorm,
    Pointwise,
)
from sled.codec.spectral.network import Decoder
from sled.codec.stream_state import LayerState
from sled.fast.native.library import (
    ConvNext,
    Convolution,
    Kernels,
    Library,
    Matrix,
    SpectralNetwork,
    addresses,
    open_library,
)
from sled.fast.native.weights import LANES, Packer


class NativeStack(CausalStack):
    """The layers of a decoder, all but the last one in one call.

    Args:
        decoder: The decoder, on the CPU. Its weights must not change any more.
        library: The kernels.
    """

    def __init__(self, decoder: Decoder, library: Library) -> None:
        super().__init__(list(decoder.stack.layers))  # type: ignore[arg-type]
        first, widen, norm, *blocks, last_norm, last, _ = decoder.stack.layers
        assert isinstance(first, CausalConv) and isinstance(norm, ChannelNorm)
        assert isinstance(widen, Pointwise) and isinstance(last, Pointwise)
        assert isinstance(last_norm, ChannelNorm)
        self._packer = Packer()
        numbers = self._packer.numbers
        weight = first.conv.weight  # [C', D, taps]
        inner_blocks = [block for block in blocks if isinstance(block, Block)]
        packed = [self._block(block) for block in inner_blocks]
        self._structure = SpectralNetwork(
            first=Convolution(
                matrix=self._packer.matrix(weight.mT.flatten(1), first.conv.bias),
                taps=weight.shape[2],
                stride=1,
                num_inputs=weight.shape[1],
                num_outputs=weight.shape[0],
            ),
            widen=self._linear(widen.linear),
            norm_gain=numbers(norm.norm.weight),
            norm_shift=numbers(norm.norm.bias),
            width=len(weight),
            inner=packed[0].expand.num_outputs if packed else 0,
            taps=inner_blocks[0].past + 1 if packed else 1,
            columns=widen.columns,
            num_blocks=len(packed),
            blocks=(ConvNext * len(packed))(*packed),
            last_gain=numbers(last_norm.norm.weight),
            last_shift=numbers(last_norm.norm.bias),
            last=self._linear(last.linear),
        )
        self._kernels = Kernels(library, None, 1)
        # Layers whose state is the columns before.
        remembering = (CausalConv, Block)
        self._remembering = [i for i, one in enumerate(self.layers) if isinstance(one, remembering)]

    def _linear(self, linear: torch.nn.Linear) -> Matrix:
        return self._packer.matrix(linear.weight, linear.bias)

    def _block(self, block: Block) -> ConvNext:
        numbers, conv = self._packer.numbers, block.depthwise.conv
        assert conv.bias is not None
        return ConvNext(
            taps=numbers(conv.weight[:, 0].T.contiguous()),
            bias=numbers(conv.bias),
            norm_gain=numbers(block.norm.weight),
            norm_shift=numbers(block.norm.bias),
            expand=self._linear(block.expand),
            reduce=self._linear(block.reduce),
            scale=numbers(block.scale),
        )

    @override
    def step(self, x: Tensor, state: Sequence[LayerState]) -> tuple[Tensor, list[LayerState]]:
        if not x.shape[-1]:
            return super().step(x, state)
        filters, after = self.filters(x, state)
        source = self.layers[-1]
        assert isinstance(source, CausalLayer)
        audio, sounding = source.step(filters, state[-1] if state else None)
        return audio, [*after, sounding]

    def filters(self, x: Tensor, state: Sequence[LayerState]) -> tuple[Tensor, list[LayerState]]:
        """The input [B, C, n] of the last layer for latents [B, D, T], and the layers' states."""
        structure = self._structure
        latents = x.to(torch.float32).mT.contiguous()
        before = [state[i][0].contiguous() for i in self._remembering] if state else []
        after: list[LayerState] = [() for _ in self.layers[:-1]]
        for i in self._remembering:
            layer = self.layers[i]
            assert isinstance(layer, CausalLayer)
            channels = structure.first.num_inputs if i == 0 else structure.width
            after[i] = (torch.empty(len(x), channels, layer.past),)
        count = x.shape[-1]
        columns = torch.empty(len(x), count * structure.columns, structure.last.num_outputs)
        self._kernels.call(
            "filter",
            structure,
            latents.data_ptr(),
            len(x),
            count,
            addresses(before) if before else None,
            addresses([after[i][0] for i in self._remembering]),
            columns.data_ptr(),
        )
        return columns.mT, after


def native_stack(decoder: Decoder) -> CausalStack:
    """The layers of a decoder by the kernels; as they are if there are no kernels for them."""
    library = open_library()
    first, _, _, *blocks, _, _, _ = decoder.stack.layers
    assert isinstance(first, CausalConv)
    widths = [first.conv.out_channels]
    widths += [block.expand.out_features for block in blocks if isinstance(block, Block)]
    if library is None or any(width % LANES for width in widths):
        return decoder.stack
    return NativeStack(decoder, library)
