"""Multi-scale STFT discriminator (Défossez et al., 2022, section 3.4), small enough for a CPU."""

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
        x = torch.view_as_real(spectrum).permute(0, 3, 2, 1) / self.window.norm()
        # Square-root compression of the magnitude: else loud low bands hide the high ones.
        x = x * (x.square().sum(1, keepdim=True) + 1e-4).pow(-0.25)
        outputs = []
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), 0.2)
            outputs.append(x)
        outputs.append(self.layers[-1](x))
        return outputs


class MultiScaleDiscriminator(nn.Module):
    """Independent spectrogram discriminators at several window lengths."""

    def __init__(self, filters: int, windows: Sequence[int] = (1024, 512, 256)) -> None:
        super().__init__()
        self.scales = nn.ModuleList(SpectrogramDiscriminator(n_fft, filters) for n_fft in windows)

    def forward(self, waveform: Tensor) -> Judgements:
        """Waveform [B, S] -> layer outputs of every scale."""
        return [scale(waveform) for scale in self.scales]
