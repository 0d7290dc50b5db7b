"""Losses of codec training: distances of spectrograms, and losses of a discriminator."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sled.codec.mel import mel_filterbank


def stft_magnitude(waveform: Tensor, window: Tensor) -> Tensor:
    """Magnitudes of the short-time Fourier transform, divided by the norm of the window.

    Args:
        waveform: [B, S].
        window: [n_fft]; the hop is a quarter of it.

    Returns:
        [B, n_fft / 2 + 1, T].
    """
    n_fft = len(window)
    spectrum = torch.stft(waveform, n_fft, n_fft // 4, window=window, return_complex=True)
    # abs() of a complex zero has no gradient; this root has one everywhere.
    power = torch.view_as_real(spectrum).square().sum(-1) / window.square().sum()
    return (power + 1e-10).sqrt()


class MelSpectrogram(nn.Module):
    """Log-mel magnitudes of a waveform, floored.

    Magnitudes are divided by the window's norm, so white noise of level r reads about r at every
    window length and one floor suits all.

    Args:
        sample_rate: Hz.
        n_fft: window length in samples; the hop is a quarter.
        n_mels: number of bands.
        floor: magnitude added before the logarithm; quieter sounds hardly count.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, sample_rate: int, n_fft: int, n_mels: int, floor: float) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.floor = floor
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        filters = mel_filterbank(sample_rate, n_fft, n_mels)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform [B, S] -> log-mel [B, T, n_mels]."""
        magnitude = stft_magnitude(waveform, self.window)
        return torch.log(magnitude.transpose(1, 2) @ self.filters + self.floor)


class MultiScaleMelDistance(nn.Module):
    """Mean absolute difference of log-mel spectrograms, averaged over window lengths.

    Args:
        sample_rate: Hz.
        floor: see `MelSpectrogram`; with too low a floor, silence dominates.
        windows: window lengths in samples and their band counts.
    """

    def __init__(
        self,
        sample_rate: int,
        floor: float = 2e-3,
        windows: Sequence[tuple[int, int]] = (
            (64, 8),
            (128, 16),
            (256, 32),
            (512, 64),
            (1024, 96),
            (2048, 128),
        ),
    ) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            MelSpectrogram(sample_rate, n_fft, n_mels, floor) for n_fft, n_mels in windows
        )

    def forward(self, output: Tensor, target: Tensor, other: Tensor | None = None) -> Tensor:
        """Distance of waveforms [B, S], as a scalar in nepers.

        Args:
            output: What is to come closer.
            target: What it is to come closer to.
            other: If outputs are drawn at random, another draw of the output. Then its distance is
                subtracted, so that the least mean is that of outputs distributed as targets are
                (the energy distance; Gritsenko et al., 2020). Without it, noise would be learned as
                something of medium level. Its gradient is that of the whole, on average.
        """
        distances = []
        for scale in self.scales:
            with torch.no_grad():
                wanted = scale(target)
                avoided = None if other is None else scale(other)
            got = scale(output)
            distances.append(F.l1_loss(got, wanted))
            if avoided is not None:
                distances[-1] = distances[-1] - F.l1_loss(got, avoided)
        return torch.stack(distances).mean()


class MultiResolutionSTFTDistance(nn.Module):
    """Distance of STFT magnitudes, averaged over window lengths (Yamamoto et al., 2020).

    It is the sum of spectral convergence, which loud frequencies dominate, and of the mean
    absolute difference of logarithms. In contrast to mel bands it resolves the harmonics of high
    frequencies.

    Args:
        floor: added to magnitudes before the logarithm.
        windows: window lengths in samples.
    """

    def __init__(self, floor: float = 2e-3, windows: Sequence[int] = (512, 1024, 2048)) -> None:
        super().__init__()
        self.floor = floor
        for n_fft in windows:
            self.register_buffer(f"window_{n_fft}", torch.hann_window(n_fft), persistent=False)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Distance of waveforms [B, S], as a scalar."""
        distances = []
        for window in self.buffers():
            with torch.no_grad():
                wanted = stft_magnitude(target, window)
            got = stft_magnitude(output, window)
            convergence = (got - wanted).norm() / wanted.norm().clamp(min=self.floor)
            logarithms = F.l1_loss(torch.log(got + self.floor), torch.log(wanted + self.floor))
            distances.append(convergence + logarithms)
        return torch.stack(distances).mean()


Judgements = list[list[Tensor]]
"""For each discriminator the outputs of its layers; the last is its verdict."""


def discriminator_loss(real: Judgements, fake: Judgements) -> Tensor:
    """Least squares (Mao et al., 2017): verdicts of 1 for real speech, 0 for decoded."""
    return _verdict_loss(real, 1.0) + _verdict_loss(fake, 0.0)


def adversarial_loss(fake: Judgements) -> Tensor:
    """Distance of the verdicts on decoded speech from those wanted for real speech."""
    return _verdict_loss(fake, 1.0)


def _verdict_loss(judgements: Judgements, wanted: float) -> Tensor:
    return torch.stack(
        [(layers[-1].float() - wanted).square().mean() for layers in judgements]
    ).mean()


def feature_loss(real: Judgements, fake: Judgements) -> Tensor:
    """L1 distance of inner features, relative to their size, so that no layer dominates.

    No gradient flows into `real`.
    """
    losses = []
    for real_layers, fake_layers in zip(real, fake, strict=True):
        for wanted, got in zip(real_layers[:-1], fake_layers[:-1], strict=True):
            wanted = wanted.detach().float()
            losses.append(F.l1_loss(got.float(), wanted) / wanted.abs().mean().clamp(min=1e-4))
    return torch.stack(losses).mean()
