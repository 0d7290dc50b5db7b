"""The networks of CosyVoice's supervised speech tokenizers.

Two convolutions and a stack of Transformer layers map a mel spectrogram to states, 25 or 50 a
second. A quantizer turns each state into a token. Version 1 has sinusoidal positions and a
codebook; version 2 has rotary positions, a convolution over the values of each attention, and
finite scalar quantization (Mentzer et al. 2023, arXiv 2309.15505). Attributes have the published
tensor names.

Shapes: B utterances, M mel bands, F frames of 10 ms, T tokens, H hidden width, K codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sled.model.tokens.digits import FSQ_BASE, FSQ_DIGITS, FSQ_SIZE

THETA = 10_000.0
_KERNEL = 31
# The range of a digit is a little under 1, so that rounding never reaches a fourth level.
_FSQ_RANGE = 0.9990000128746033


@dataclass(frozen=True, kw_only=True)
class TokenizerSizes:
    """The sizes of a network.

    Attributes:
        version: 1 or 2.
        n_mels: M.
        n_audio_ctx: Positions of the table of version 1, so most tokens of an utterance.
        n_audio_state: H.
        n_audio_head: Heads of attention.
        n_audio_layer: Layers.
        n_codebook_size: K.
        first_stride: Stride of the first convolution; the second one has 2. With 2 there are 25
            tokens a second, with 1 there are 50.
    """

    version: int = 2
    n_mels: int = 128
    n_audio_ctx: int = 1500
    n_audio_state: int = 1280
    n_audio_head: int = 20
    n_audio_layer: int = 6
    n_codebook_size: int = FSQ_SIZE
    first_stride: int = 2

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that do not fit each other."""
        if self.version not in (1, 2) or self.first_stride not in (1, 2):
            raise ValueError(
                f"no speech tokenizer of version {self.version} with stride {self.first_stride}: "
                "both are 1 or 2"
            )
        if self.n_audio_state % self.n_audio_head or self.n_audio_state // self.n_audio_head % 2:
            raise ValueError(
                f"{self.n_audio_head} heads of even width do not fit a width of "
                f"{self.n_audio_state}: choose another number of heads"
            )
        if self.version == 2 and self.n_codebook_size != FSQ_SIZE:
            raise ValueError(
                f"a tokenizer of version 2 has {FSQ_SIZE} tokens, not {self.n_codebook_size}"
            )

    @property
    def token_rate(self) -> float:
        """Tokens per second."""
        return 100 / (2 * self.first_stride)


class Attention(nn.Module):
    """Attention among all positions of an utterance."""

    def __init__(self, sizes: TokenizerSizes) -> None:
        super().__init__()
        width = sizes.n_audio_state
        self.heads = (sizes.n_audio_head, width // sizes.n_audio_head)
        self.query, self.value = nn.Linear(width, width), nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width)
        self.fsmn_block: nn.Conv1d | None = None
        if sizes.version == 2:
            self.fsmn_block = nn.Conv1d(width, width, _KERNEL, groups=width, bias=False)

    def forward(self, x: Tensor, mask: Tensor, rotation: Tensor | None) -> Tensor:
        """Attend within states [B, T, H].

        Args:
            x: The states.
            mask: [B, T], true where there is speech.
            rotation: Cosines and sines [2, T, head width] of version 2.
        """
        value = self.value(x)
        query, key, values = (
            projected.unflatten(-1, self.heads).transpose(1, 2)  # [B, heads, T, head width]
            for projected in (self.query(x), self.key(x), value)
        )
        if rotation is not None:
            query, key = _rotate(query, rotation), _rotate(key, rotation)
        attended = F.scaled_dot_product_attention(query, key, values, mask[:, None, None, :])
        output: Tensor = self.out(attended.transpose(1, 2).flatten(-2))
        if self.fsmn_block is not None:
            kept = (value * mask[..., None]).transpose(1, 2)
            remembered = self.fsmn_block(F.pad(kept, (_KERNEL // 2, _KERNEL // 2))) + kept
            output = output + remembered.transpose(1, 2) * mask[..., None]
        return output


def _rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Rotate halves of each head [..., T, head width] by the position."""
    first, second = x.chunk(2, -1)
    rotated: Tensor = x * rotation[0] + torch.cat((-second, first), -1) * rotation[1]
    return rotated


class Layer(nn.Module):
    """Pre-norm attention and feed-forward layers."""

    def __init__(self, sizes: TokenizerSizes) -> None:
        super().__init__()
        width = sizes.n_audio_state
        epsilon = 1e-6 if sizes.version == 2 else 1e-5
        self.attn = Attention(sizes)
        self.attn_ln = nn.LayerNorm(width, eps=epsilon)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.mlp_ln = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor, rotation: Tensor | None) -> Tensor:
        """Run the layer on states [B, T, H]."""
        x = x + self.attn(self.attn_ln(x), mask, rotation)
        output: Tensor = x + self.mlp(self.mlp_ln(x))
        return output


class Encoder(nn.Module):
    """From mel spectrograms to states."""

    positional_embedding: Tensor | None

    def __init__(self, sizes: TokenizerSizes) -> None:
        super().__init__()
        width = sizes.n_audio_state
        self.head_width = width // sizes.n_audio_head
        self.conv1 = nn.Conv1d(sizes.n_mels, width, 3, sizes.first_stride, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, 2, padding=1)
        self.blocks = nn.ModuleList(Layer(sizes) for _ in range(sizes.n_audio_layer))
        positions = _sinusoids(sizes.n_audio_ctx, width) if sizes.version == 1 else None
        self.register_buffer("positional_embedding", positions)

    def forward(self, mel: Tensor, num_frames: Tensor) -> tuple[Tensor, Tensor]:
        """Encode mel spectrograms.

        Args:
            mel: [B, M, F], padded at the end with any values.
            num_frames: Frames of each [B].

        Returns:
            States [B, T, H], and the number of tokens of each utterance [B].
        """
        x, lengths = mel, num_frames
        for conv in (self.conv1, self.conv2):
            x = F.gelu(conv(x * valid_places(lengths, x.shape[-1])[:, None]))
            lengths = (lengths - 1) // conv.stride[0] + 1
        x = x.transpose(1, 2)
        mask = valid_places(lengths, x.shape[1])
        rotation = None
        if self.positional_embedding is not None:
            x = x + self.positional_embedding[: x.shape[1]]
        else:
            rotation = rotation_table(x.shape[1], self.head_width, x)
        for block in self.blocks:
            x = block(x, mask, rotation)
        return x, lengths


def valid_places(lengths: Tensor, size: int) -> Tensor:
    """Mark the first places of each row, [B, size]."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def _sinusoids(length: int, width: int) -> Tensor:
    """Positions [length, width] of Whisper: sines, then cosines."""
    steps = torch.arange(width // 2) / (width // 2 - 1)
    angles = torch.arange(length)[:, None] * THETA**-steps
    return torch.cat((angles.sin(), angles.cos()), 1)


def rotation_table(length: int, head_width: int, like: Tensor) -> Tensor:
    """Cosines and sines [2, length, head width]."""
    frequency = THETA ** (-torch.arange(0, head_width, 2, device=like.device) / head_width)
    angles = torch.arange(length, device=like.device)[:, None] * torch.cat((frequency, frequency))
    return torch.stack((angles.cos(), angles.sin())).to(like.dtype)


class Codebook(nn.Module):
    """The nearest of K vectors of length 1."""

    embed: Tensor

    def __init__(self, sizes: TokenizerSizes) -> None:
        super().__init__()
        self.register_buffer("embed", torch.zeros(sizes.n_codebook_size, sizes.n_audio_state))

    def forward(self, states: Tensor) -> Tensor:
        """Return the codes [B, T] of states [B, T, H]."""
        unit = F.normalize(states, dim=-1)
        # |x - c|^2 without the part that is the same for all codes.
        distance = (self.embed**2).sum(-1) - 2 * unit @ self.embed.T
        return distance.argmin(-1)


class ScalarQuantizer(nn.Module):
    """Finite scalar quantization: rounds each of a few numbers to one of three levels."""

    def __init__(self, sizes: TokenizerSizes) -> None:
        super().__init__()
        self.project_down = nn.Linear(sizes.n_audio_state, FSQ_DIGITS)

    def levels(self, states: Tensor) -> Tensor:
        """Return numbers within -1 and 1, [B, T, 8], before they are rounded."""
        return self.squash(self.project_down(states))

    @staticmethod
    def squash(digits: Tensor) -> Tensor:
        """Map any numbers to within -1 and 1."""
        return torch.tanh(digits) * _FSQ_RANGE

    def forward(self, states: Tensor) -> Tensor:
        """Return the codes [B, T] of states [B, T, H]; the first digit is the least significant."""
        digits = self.levels(states).round().long() + 1
        return (digits * FSQ_BASE ** torch.arange(FSQ_DIGITS, device=digits.device)).sum(-1)


class Quantizer(nn.Module):
    """Holds the quantizer under its published name."""

    @property
    def codebook(self) -> nn.Module:
        """The quantizer itself."""
        return self._codebook

    def __init__(self, sizes: TokenizerSizes) -> None:
        super().__init__()
        self._codebook = ScalarQuantizer(sizes) if sizes.version == 2 else Codebook(sizes)

    def forward(self, states: Tensor) -> Tensor:
        """Return the codes [B, T] of states [B, T, H]."""
        codes: Tensor = self._codebook(states)
        return codes


class TokenizerNetwork(nn.Module):
    """A speech tokenizer without what surrounds it.

    Args:
        sizes: The sizes.
    """

    def __init__(self, sizes: TokenizerSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.encoder = Encoder(sizes)
        self.quantizer = Quantizer(sizes)

    def forward(self, mel: Tensor, num_frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens [B, T] of mel spectrograms [B, M, F], and their number [B]."""
        states, lengths = self.encoder(mel, num_frames)
        return self.quantizer(states), lengths
