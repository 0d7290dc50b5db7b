"""Discriminators of a vocoder: of periods, and of magnitudes of spectrograms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from sled.training.codec.discriminator import PeriodDiscriminator
from sled.training.codec.losses import Judgements

PERIODS = (2, 3, 5, 7, 11)
# Samples of transform, hop and window (Yamamoto et al. 2020).
RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
_SLOPE = 0.2


class MagnitudeDiscriminator(nn.Module):
    """Convolutions over time and frequency of the magnitudes of a spectrogram (Jang et al. 2021).

    Args:
        n_fft: Samples of the transform.
        hop: Samples.
        window: Samples.
        filters: Channels of the inner layers.
    """

    window: Tensor

    def __init__(self, n_fft: int, hop: int, window: int, filters: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        layers = [nn.Conv2d(1, filters, (3, 9), padding=(1, 4))]
        for _ in range(3):
            layers.append(nn.Conv2d(filters, filters, (3, 9), stride=(1, 2), padding=(1, 4)))
        layers.append(nn.Conv2d(filters, filters, (3, 3), padding=(1, 1)))
        layers.append(nn.Conv2d(filters, 1, (3, 3), padding=(1, 1)))
        self.layers = nn.ModuleList(weight_norm(layer) for layer in layers)

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """Waveform [B, S] -> outputs of all layers [B, C, T, F], the verdict last."""
        spectrum = torch.stft(
            waveform,
            self.n_fft,
            self.hop,
            len(self.window),
            window=self.window,
            return_complex=True,
        )
        power = torch.view_as_real(spectrum).square().sum(-1)
        x = (power + 1e-9).sqrt().mT[:, None]
        outputs = []
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), _SLOPE)
            outputs.append(x)
        return [*outputs, self.layers[-1](x)]


class VocoderDiscriminator(nn.Module):
    """Independent discriminators of periods and of magnitudes.

    Args:
        period_filters: Channels of the first layer of those of periods; published: 32.
        filters: Channels of those of magnitudes; published: 32.
        periods: In samples.
        resolutions: Of the spectrograms.
    """

    def __init__(
        self,
        period_filters: int = 32,
        filters: int = 32,
        periods: Sequence[int] = PERIODS,
        resolutions: Sequence[tuple[int, int, int]] = RESOLUTIONS,
    ) -> None:
        super().__init__()
        judges: list[nn.Module] = [PeriodDiscriminator(one, period_filters) for one in periods]
        judges += [MagnitudeDiscriminator(*one, filters) for one in resolutions]
        self.judges = nn.ModuleList(judges)

    def forward(self, waveform: Tensor) -> Judgements:
        """Waveform [B, S] -> layer outputs of every discriminator."""
        return [judge(waveform) for judge in self.judges]
