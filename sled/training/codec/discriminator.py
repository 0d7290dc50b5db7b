"""Discriminators of spectrograms and of periods, small enough for a CPU."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from sled.training.codec.losses import Judgements


class SpectrogramDiscriminator(nn.Module):
    """Convolutions over time and frequency of one complex spectrogram.

    Args:
        n_fft: window length in samples; the hop is a quarter.
        filters: channels of the inner layers.
    """

    window: Tensor

    def __init__(self, n_fft: int, filters: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        layers = [nn.Conv2d(2, filters, (3, 8), stride=(1, 2), padding=(1, 3))]
        for dilation in (1, 2, 4):
            layers.append(
                nn.Conv2d(
                    filters,
                    filters,
                    (3, 8),
                    stride=(1, 2),
                    dilation=(dilation, 1),
                    padding=(dilation, 3),
                )
            )
        layers.append(nn.Conv2d(filters, 1, (3, 3), padding=(1, 1)))
        self.layers = nn.ModuleList(weight_norm(layer) for layer in layers)

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """Waveform [B, S] -> outputs of all layers [B, C, T, F], the verdict last."""
        spectrum = torch.stft(
            waveform, self.n_fft, self.n_fft // 4, window=self.window, return_complex=True
        )
        # Contiguous: in the layout of the spectrum, with channels last, PyTorch 2.13 computes the
        # gradient of dilated bfloat16 convolutions on a CPU as NaN unless channels fill vectors.
        x = torch.view_as_real(spectrum).permute(0, 3, 2, 1).contiguous() / self.window.norm()
        # Square-root compression of the magnitude: else loud low bands hide the high ones.
        x = x * (x.square().sum(1, keepdim=True) + 1e-4).pow(-0.25)
        outputs = []
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), 0.2)
            outputs.append(x)
        outputs.append(self.layers[-1](x))
        return outputs


class PeriodDiscriminator(nn.Module):
    """Convolutions over every `period`-th sample (Kong et al., 2020, section 2.3).

    Args:
        period: samples between two neighbours of a column.
        filters: channels of the first layer; the last has 32 times as many. Published: 32.
    """

    def __init__(self, period: int, filters: int) -> None:
        super().__init__()
        self.period = period
        widths = [1, *(filters * factor for factor in (1, 4, 16, 32, 32))]
        layers = [
            nn.Conv2d(inputs, outputs, (5, 1), stride=(stride, 1), padding=(2, 0))
            for inputs, outputs, stride in zip(widths, widths[1:], (3, 3, 3, 3, 1), strict=False)
        ]
        layers.append(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))
        self.layers = nn.ModuleList(weight_norm(layer) for layer in layers)

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """Waveform [B, S] -> outputs of all layers [B, C, T, period], the verdict last."""
        whole = F.pad(waveform, (0, -waveform.shape[1] % self.period))
        x = whole.view(len(whole), 1, -1, self.period)
        outputs = []
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), 0.2)
            outputs.append(x)
        outputs.append(self.layers[-1](x))
        return outputs


class MultiDiscriminator(nn.Module):
    """Independent discriminators: of spectrograms at several window lengths, and of periods.

    Args:
        filters: channels of each discriminator of spectrograms (Défossez et al., 2022, section
            3.4).
        period_filters: channels of the first layer of each discriminator of periods; 0 for none.
        windows: window lengths in samples.
        periods: periods in samples, prime so that they overlap little.
    """

    def __init__(
        self,
        filters: int,
        period_filters: int = 0,
        windows: Sequence[int] = (1024, 512, 256),
        periods: Sequence[int] = (2, 3, 5, 7, 11),
    ) -> None:
        super().__init__()
        self.scales = nn.ModuleList(SpectrogramDiscriminator(n_fft, filters) for n_fft in windows)
        self.periods = nn.ModuleList(
            PeriodDiscriminator(period, period_filters)
            for period in (periods if period_filters else ())
        )

    def forward(self, waveform: Tensor) -> Judgements:
        """Waveform [B, S] -> layer outputs of every discriminator."""
        return [judge(waveform) for judge in (*self.scales, *self.periods)]
