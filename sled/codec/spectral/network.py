"""The networks of a spectral codec: encoder, standardization of latents, decoder.

The encoder turns a log-mel spectrogram into a latent per frame. The decoder reads the pitch off
latents, and filters of a spectrogram that shape pulses of this pitch, and noise. All layers are
causal; the decoder's output is later than its input by `lookahead_frames`, which is cut off at the
beginning, so that samples depend on so many later latents.

Shapes: B batch, S samples, T frames, D latent width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sled.codec.spectral.config import SpectralConfig
from sled.codec.spectral.excitation import LOG_GAINS, SourceFilter
from sled.codec.spectral.layers import (
    Block,
    CausalConv,
    CausalLayer,
    CausalStack,
    ChannelNorm,
    LogMel,
    Pointwise,
)


class Encoder(nn.Module):
    """Waveforms to latents, which are not standardized."""

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        width, ratio = config.encoder_width, config.columns_per_frame
        self.hop_length, self.bottleneck = config.hop_length, config.bottleneck
        self.latent_size, self.limit = config.latent_size, config.limit
        outputs = config.latent_size * (2 if config.bottleneck == "kl" else 1)
        mel = LogMel(config.sampling_rate, config.stft_window, config.stft_hop, config.mel_bands)
        self.stack = CausalStack(
            [
                mel,
                CausalConv(config.mel_bands, width, config.kernel_size),
                ChannelNorm(width),
                *_blocks(config, width, config.encoder_column_blocks),
                CausalConv(width, width, 2 * ratio, ratio),
                *_blocks(config, width, config.encoder_frame_blocks),
                ChannelNorm(width),
                Pointwise(width, outputs),
            ]
        )

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms [B, 1, S], followed by zeros up to a whole frame, to latents [B, D, T]."""
        return self.latents(self.stack(self.padded(waveforms)))

    def padded(self, waveforms: Tensor) -> Tensor:
        """Waveforms [B, 1, S] with zeros up to a whole frame."""
        return nn.functional.pad(waveforms, (0, -waveforms.shape[-1] % self.hop_length))

    def latents(self, outputs: Tensor) -> Tensor:
        """The latents [B, D, T] of the outputs of the stack [B, C, T]."""
        if self.bottleneck == "tanh":
            return outputs.float().tanh()
        return self.posterior(outputs)[0].clamp(-self.limit, self.limit)

    def posterior(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance [B, D, T] of a "kl" bottleneck."""
        mean, log_variance = outputs.float().chunk(2, 1)
        return mean, log_variance.clamp(-12, 4)


class Decoder(nn.Module):
    """Latents, which are not standardized, to waveforms."""

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        width = config.decoder_width
        self.latent_size, self.hop_length = config.latent_size, config.hop_length
        self.lookahead_frames = config.lookahead_frames
        self.lookahead_samples = config.lookahead_frames * config.hop_length
        source = SourceFilter(config.sampling_rate, config.stft_hop)
        self.stack = CausalStack(
            [
                CausalConv(config.latent_size, width, 3),
                Pointwise(width, width, config.columns_per_frame),
                ChannelNorm(width),
                *_blocks(config, width, config.decoder_blocks),
                ChannelNorm(width),
                Pointwise(width, source.outputs),
                source,
            ]
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Latents [B, D, T], the last of which is held, to waveforms [B, 1, S]."""
        held = latents[..., -1:].expand(-1, -1, self.lookahead_frames)
        waveforms: Tensor = self.stack(torch.cat((latents, held), -1))
        return waveforms[..., self.lookahead_samples :]

    @property
    def source(self) -> SourceFilter:
        """The last layer, which makes the waveform."""
        last = self.stack.layers[-1]
        assert isinstance(last, SourceFilter)
        return last

    def filters(self, latents: Tensor) -> Tensor:
        """The input [B, 1 + 3 (H + 1), n] of the last layer, of latents [B, D, T]."""
        x = latents
        for layer in self.stack.layers[:-1]:
            assert isinstance(layer, CausalLayer)
            x = layer.step(x, None)[0]
        return x


class Spectral(nn.Module):
    """The networks of a spectral codec.

    Units are latents whose numbers each have been brought to mean 0 and variance 1.

    Args:
        config: Architecture.

    Attributes:
        mean: [D, 1] of the numbers of latents.
        deviation: [D, 1] their standard deviation.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.register_buffer("mean", torch.zeros(config.latent_size, 1))
        self.register_buffer("deviation", torch.ones(config.latent_size, 1))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def to_units(self, latents: Tensor) -> Tensor:
        """Latents [B, D, T] to units [B, D, T]."""
        return (latents - self.mean) / self.deviation

    def to_latents(self, units: Tensor) -> Tensor:
        """Undo `to_units`."""
        return units * self.deviation + self.mean


def new_spectral(config: SpectralConfig) -> Spectral:
    """A model with random weights, drawn from torch's global generator."""
    model = Spectral(config)
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    # Latents of a new model have a deviation of a half: more than noise in training, and within 1.
    last = model.encoder.stack.layers[-1]
    assert isinstance(last, Pointwise)
    nn.init.trunc_normal_(last.linear.weight, std=0.5 * last.linear.in_features**-0.5)
    head = model.decoder.stack.layers[-2]
    assert isinstance(head, Pointwise) and head.linear.bias is not None
    gains, _, noise_gains = head.linear.bias.detach()[1:].chunk(3)
    gains.fill_(LOG_GAINS[0])
    noise_gains.fill_(LOG_GAINS[1])
    return model


def _blocks(config: SpectralConfig, width: int, count: int) -> list[CausalLayer]:
    return [
        Block(width, config.expansion, config.kernel_size, 1 / max(count, 1)) for _ in range(count)
    ]
