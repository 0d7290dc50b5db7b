"""Packs the weights of a model for the compiled kernels.

Shapes: N outputs, K inputs, B blocks of 64 outputs, G groups of inputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sled.fast.int4 import Int4Matrix
from sled.fast.native.library import Block, Layer, Matrix, Model
from sled.fast.quantize import quantize_blocks
from sled.files.allocator import return_memory
from sled.files.large_pages import zeros
from sled.model.backbone import DecoderLayer, rotary_tables
from sled.model.heads.energy import EPSILON, EnergyHead, ResidualBlock
from sled.model.lm import SpeechLM

# Kinds of a matrix; the first three also of keys and values.
FLOAT, HALF, BYTES, NIBBLES = 0, 1, 2, 3
# Outputs that are stored together, and inputs that share a scale in bytes.
BLOCK, GROUP = 64, 128
EIGHT = 8  # inputs of which packed codes are a multiple
NARROW_BLOCKS = (16, 32)  # other numbers of outputs
LANES = 16  # numbers of a vector, of which the kernels need widths to be multiples
LARGEST_HEAD = 256
# Bytes of a cache line, and of memory that is allocated at once.
ALIGNMENT, ALLOCATED = 64, 16 * 2**20


class Packer:
    """Packs matrices and keeps them.

    Attributes:
        tensors: All tensors so far.
    """

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self._free = torch.empty(0, dtype=torch.uint8)

    def numbers(self, values: Tensor) -> int:
        """Keep a vector or table in float32; return its address."""
        return self._keep(values.detach().float())

    def _keep(self, values: Tensor) -> int:
        size = -(-values.nbytes // ALIGNMENT) * ALIGNMENT
        if size > len(self._free):
            self._free = zeros((max(size, ALLOCATED),), torch.uint8, torch.device("cpu"))
        place, self._free = self._free[: values.nbytes], self._free[size:]
        self.tensors.append(place.view(values.dtype).view(values.shape).copy_(values))
        return self.tensors[-1].data_ptr()

    def matrix(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        bits: int = 32,
        num_outputs: int | None = None,
        narrow: bool = False,
    ) -> Matrix:
        """Pack a matrix [N, K] and a bias [N].

        Args:
            weight: The matrix.
            bias: The bias.
            bits: Bits of a weight: 8, or 32. Matrices that are the same in float16 take 16.
            num_outputs: Number of outputs, if some of N are padding.
            narrow: Whether blocks have only as many outputs as are needed, in float32.
        """
        weight, scales = weight.detach(), None
        size = BLOCK
        if narrow:
            size = next((size for size in NARROW_BLOCKS if len(weight) <= size), BLOCK)
        if bits == 8:
            kind, (packed, scales) = BYTES, _pack_bytes(weight)
        else:
            half = weight.to(torch.float16)
            is_exact = size == BLOCK and bool((half.float() == weight.float()).all())
            kind, chosen = (HALF, half) if is_exact else (FLOAT, weight.float())
            packed = _blocks(chosen, size).transpose(1, 2)  # [B, K, 64]
        if bias is not None:
            bias = F.pad(bias.detach().float(), (0, -len(bias) % size))
        return Matrix(
            weights=self._keep(packed),
            scales=None if scales is None else self._keep(scales),
            bias=None if bias is None else self._keep(bias),
            num_outputs=num_outputs or len(weight),
            num_inputs=weight.shape[1],
            kind=kind,
            group=GROUP,
            block=size,
        )

    def int4(self, matrix: Int4Matrix, num_outputs: int | None = None) -> Matrix:
        """Pack a matrix [N, K] in four bits; arguments as for `matrix`."""
        return Matrix(
            weights=self._keep(_pack_nibbles(matrix.codes)),
            scales=self._keep(_blocks(matrix.scales).transpose(1, 2)),
            num_outputs=num_outputs or len(matrix.codes),
            num_inputs=matrix.codes.shape[1],
            kind=NIBBLES,
            group=matrix.group,
            block=BLOCK,
        )


class PackedModel:
    """The weights of a model, for the compiled kernels.

    Args:
        model: The model. Layers and blocks are removed one by one, to hold their weights only once.
        bits: Bits of a weight: 32, or 8.
        cache_kind: Kind of keys and values.
        int4: The matrices of the layers in four bits, by their names in the checkpoint. None: they
            have as many bits as the others.

    Attributes:
        structure: What the kernels take. It is valid as long as this object.
        tensors: All tensors that it points to.
    """

    def __init__(
        self,
        model: SpeechLM,
        bits: int,
        cache_kind: int,
        int4: Mapping[str, Int4Matrix] | None = None,
    ) -> None:
        self._bits, self._int4, self._packer = bits, int4, Packer()
        self.tensors = self._packer.tensors
        sizes, head = model.config.architecture, model.scoreloss
        assert isinstance(head, EnergyHead)
        assert isinstance(model.z_proj, nn.Linear)
        net, norm = head.net, model.z_proj_ln
        backbone = model.model
        cos, sin = rotary_tables(
            sizes.max_position_embeddings,
            sizes.head_dim,
            sizes.rope_theta,
            torch.device("cpu"),
            torch.float32,
        )
        layers = (Layer * sizes.num_hidden_layers)()
        for number in range(sizes.num_hidden_layers):
            layer = backbone.layers.pop(0)
            assert isinstance(layer, DecoderLayer)
            layers[number] = self._layer(layer, f"model.layers.{number}")
            del layer
            return_memory()
        blocks = (Block * sizes.diffloss_d)()
        for number in range(sizes.diffloss_d):
            block = net.res_blocks.pop(0)
            assert isinstance(block, ResidualBlock)
            blocks[number] = self._block(block)
            del block
        return_memory()
        self.structure = Model(
            hidden=sizes.hidden_size,
            heads=sizes.num_attention_heads,
            kv_heads=sizes.num_key_value_heads,
            head_dim=sizes.head_dim,
            inner=sizes.intermediate_size,
            num_layers=sizes.num_hidden_layers,
            epsilon=sizes.rms_norm_eps,
            cache_kind=cache_kind,
            cos=self._packer.numbers(cos),
            sin=self._packer.numbers(sin),
            final_norm=self._packer.numbers(backbone.norm.weight),
            layers=layers,
            unit=self._linear(model.z_proj, bits=32),
            unit_gain=self._packer.numbers(norm.weight),
            unit_shift=self._packer.numbers(norm.bias),
            width=sizes.diffloss_w,
            noise=sizes.noise_channels,
            latent=sizes.vae_embed_dim,
            num_blocks=sizes.diffloss_d,
            head_epsilon=EPSILON,
            noise_input=self._linear(net.input_proj),
            hidden_input=self._linear(net.cond_embed),
            final_modulation=self._modulation(net.final_layer.adaLN_modulation[1], 2),
            final=self._linear(net.final_layer.linear),
            blocks=blocks,
        )

    def _layer(self, layer: DecoderLayer, name: str) -> Layer:
        return Layer(
            qkv=self._stacked(layer, name, *(f"self_attn.{one}_proj" for one in "qkv")),
            out=self._stacked(layer, name, "self_attn.o_proj"),
            gate_up=self._gated(layer, name, "mlp.gate_proj", "mlp.up_proj"),
            down=self._stacked(layer, name, "mlp.down_proj"),
            attention_norm=self._packer.numbers(layer.input_layernorm.weight),
            mlp_norm=self._packer.numbers(layer.post_attention_layernorm.weight),
        )

    def _stacked(self, layer: DecoderLayer, name: str, *parts: str) -> Matrix:
        """The matrices of some projections of a layer as one, with the outputs of all."""
        if self._int4 is not None:
            matrices = [self._int4[f"{name}.{part}.weight"] for part in parts]
            return self._packer.int4(Int4Matrix.stack(matrices))
        return self._matrix(torch.cat([_weight(layer, part) for part in parts]))

    def _gated(self, layer: DecoderLayer, name: str, gate: str, up: str) -> Matrix:
        """The same of gates and what they multiply: blocks of both take turns."""
        both = [_weight(layer, part) for part in (gate, up)]
        num_outputs = 2 * len(both[0])
        if self._int4 is None:
            return self._matrix(_in_turns(both), num_outputs=num_outputs)
        matrices = [self._int4[f"{name}.{part}.weight"] for part in (gate, up)]
        codes, scales = (
            _in_turns([getattr(one, field) for one in matrices]) for field in ("codes", "scales")
        )
        return self._packer.int4(Int4Matrix(codes, scales, matrices[0].group), num_outputs)

    def _block(self, block: ResidualBlock) -> Block:
        return Block(
            norm_gain=self._packer.numbers(block.noise_ln.weight),
            norm_shift=self._packer.numbers(block.noise_ln.bias),
            modulation=self._modulation(block.adaLN_modulation[1], 3),
            first=self._linear(block.mlp[0]),
            second=self._linear(block.mlp[2]),
        )

    def _modulation(self, linear: nn.Module, parts: int) -> Matrix:
        """A projection to shift, 1 + scale and, if `parts` is 3, gate."""
        assert isinstance(linear, nn.Linear)
        width = linear.out_features // parts
        bias = linear.bias.detach().float().clone()
        bias[width : 2 * width] += 1.0
        return self._matrix(linear.weight, bias)

    def _linear(self, linear: nn.Module, bits: int | None = None) -> Matrix:
        assert isinstance(linear, nn.Linear)
        return self._matrix(linear.weight, linear.bias, bits=bits)

    def _matrix(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        num_outputs: int | None = None,
        bits: int | None = None,
    ) -> Matrix:
        return self._packer.matrix(weight, bias, bits or self._bits, num_outputs)


def _blocks(weight: Tensor, size: int = BLOCK) -> Tensor:
    """Divide a matrix [N, K] into blocks [B, 64, K], the last one padded with zeros."""
    padded = F.pad(weight.detach(), (0, 0, 0, -len(weight) % size))
    return torch.unflatten(padded, 0, (-1, size))


def _in_turns(matrices: list[Tensor]) -> Tensor:
    """Two matrices [N, K] as one [2 B 64, K], whose blocks take turns."""
    return torch.stack([_blocks(one) for one in matrices], 1).flatten(0, 2)


def _weight(layer: DecoderLayer, part: str) -> Tensor:
    linear = layer.get_submodule(part)
    assert isinstance(linear, nn.Linear)
    return linear.weight


def _pack_nibbles(codes: Tensor) -> Tensor:
    """Pack codes [N, K] of four bits in bytes [B, K / 8, 64, 4]."""
    padded = F.pad(_blocks(codes), (0, -codes.shape[1] % EIGHT))  # [B, 64, K]
    first, second = torch.unflatten(padded, 2, (-1, 2, EIGHT // 2)).unbind(3)
    return (first | second << 4).transpose(1, 2)


def _pack_bytes(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round a matrix [N, K] to codes [B, K / 4, 64, 4] and scales [B, G, 64]."""
    codes, scales = quantize_blocks(_blocks(weight).flatten(0, 1), GROUP)
    width = -(-weight.shape[1] // EIGHT) * EIGHT
    fours = torch.unflatten(codes.flatten(1)[:, :width], 1, (-1, 4))  # [B 64, K / 4, 4]
    packed = torch.unflatten(fours, 0, (-1, BLOCK)).transpose(1, 2)
    return packed, torch.unflatten(scales, 0, (-1, BLOCK)).transpose(1, 2)
