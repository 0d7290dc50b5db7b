"""Input features of published speech models: spectrograms on the mel scale, and resampling.

Flows and vocoders read `log_mel`, speaker encoders `speaker_features`, and speech tokenizers
`tokenizer_features`. Filters come from transformers, the filter bank of Kaldi and resampling from
Lhotse.

Shapes: [...] any number of leading dimensions, S samples, F frames, M mel bands.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The sample rate of speaker encoders and speech tokenizers, in Hz.
ANALYSIS_RATE = 16_000
TOKENIZER_MELS = 128
SPEAKER_MELS = 80

_POWER_FLOOR, _MEL_FLOOR = 1e-9, 1e-5


@dataclass(frozen=True, kw_only=True)
class MelSettings:
    """A logarithmic mel spectrogram of magnitudes.

    Attributes:
        sample_rate: In Hz.
        n_fft: Length of the window and of the Fourier transform, in samples.
        hop_length: Samples from one frame to the next.
        n_mels: M.
        fmin: Lower edge of the lowest band, in Hz.
        fmax: Upper edge of the highest band, in Hz. None: half the sample rate.
        htk: Bands and scale of HTK, with windows centred on multiples of the hop, as SimpleTTS has
            them. Otherwise Slaney's, with windows that begin (n_fft - hop) / 2 samples earlier.
    """

    sample_rate: int
    n_fft: int
    hop_length: int
    n_mels: int = 80
    fmin: float = 0.0
    fmax: float | None = 8_000.0
    htk: bool = False

    @property
    def for_loss(self) -> MelSettings:
        """The same with bands up to half the sample rate, as losses of vocoders have it."""
        return replace(self, fmax=None)

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    def num_frames(self, num_samples: int) -> int:
        """Return the number of frames of a waveform."""
        return num_samples // self.hop_length + self.htk


MEL_22K = MelSettings(sample_rate=22_050, n_fft=1024, hop_length=256)
"""Mel spectrogram of CosyVoice."""
MEL_24K = MelSettings(sample_rate=24_000, n_fft=1920, hop_length=480)
"""Mel spectrogram of CosyVoice2 and Step-Audio: 50 frames a second."""
MEL_SIMPLETTS = MelSettings(sample_rate=22_050, n_fft=1024, hop_length=256, fmax=None, htk=True)


def log_mel(waveform: Tensor, settings: MelSettings) -> Tensor:
    """Compute the logarithmic mel spectrogram [..., M, F] of waveforms [..., S].

    Gradients flow through it, so it also serves losses.

    Raises:
        ValueError: If the waveform is too short for a window.
    """
    n_fft, hop = settings.n_fft, settings.hop_length
    padding = n_fft // 2 if settings.htk else (n_fft - hop) // 2
    if waveform.shape[-1] <= padding:
        raise ValueError(
            f"{waveform.shape[-1]} samples are too few for a mel spectrogram with windows of "
            f"{n_fft}: leave recordings out that are so short"
        )
    padded = F.pad(waveform.reshape(-1, waveform.shape[-1]), (padding, padding), mode="reflect")
    spectrum = torch.stft(
        padded, n_fft, hop, n_fft, _hann(n_fft, padded.device), center=False, return_complex=True
    )
    magnitude = (spectrum.real**2 + spectrum.imag**2 + _POWER_FLOOR).sqrt()
    mel = (_mel_filters(settings, padded.device).T @ magnitude).clamp_min(_MEL_FLOOR).log()
    return mel.reshape(*waveform.shape[:-1], *mel.shape[-2:])


def tokenizer_features(waveform: Tensor, n_mels: int = TOKENIZER_MELS) -> Tensor:
    """Compute Whisper's logarithmic mel spectrogram [M, F] of a waveform [S] at 16 kHz.

    It has a frame for each 10 ms. Values are relative to the loudest of the waveform.
    """
    n_fft, hop = 400, 160
    settings = MelSettings(
        sample_rate=ANALYSIS_RATE, n_fft=n_fft, hop_length=hop, n_mels=n_mels, fmax=None
    )
    window = _hann(n_fft, waveform.device)
    # A clip shorter than half a window cannot be mirrored at its ends.
    waveform = F.pad(waveform, (0, max(0, n_fft // 2 + 1 - waveform.shape[-1])))
    spectrum = torch.stft(waveform, n_fft, hop, n_fft, window, return_complex=True)
    power = spectrum[..., :-1].abs() ** 2
    mel = (_mel_filters(settings, waveform.device).T @ power).clamp_min(1e-10).log10()
    return (torch.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0


def kaldi_filter_bank(waveform: Tensor) -> Tensor:
    """Compute Kaldi's logarithmic filter bank energies [F, M] of a waveform [S] at 16 kHz.

    Windows of 25 ms start every 10 ms and lie within the waveform; there is no dither.

    Raises:
        ValueError: If the waveform is shorter than a window.
    """
    if len(waveform) < ANALYSIS_RATE // 40:
        raise ValueError(
            f"{len(waveform)} samples at {ANALYSIS_RATE} Hz are less than the 25 ms that a filter "
            "bank needs: leave recordings out that are so short"
        )
    energies: Tensor = _kaldi(waveform.device)(waveform[None])[0]
    return energies


def speaker_features(waveform: Tensor) -> Tensor:
    """Compute what speaker encoders read, [F, 80]: filter bank energies minus their mean over time.

    Raises:
        ValueError: If the waveform [S] at 16 kHz is shorter than a window.
    """
    energies = kaldi_filter_bank(waveform)
    return energies - energies.mean(0)


def resample(waveform: Tensor, rate: int, wanted_rate: int) -> Tensor:
    """Resample waveforms [..., S], as torchaudio does by default: windowed sinc of width 6."""
    if rate == wanted_rate:
        return waveform
    resampled: Tensor = _resampler(rate, wanted_rate)(waveform)
    return resampled


def limit_peak(waveform: Tensor, peak: float = 1.0) -> Tensor:
    """Scale a waveform [S] down as a whole if it is louder than a peak."""
    loudest = waveform.abs().max().clamp_min(peak)
    return waveform * (peak / loudest) if loudest > peak else waveform


@cache
def _hann(length: int, device: torch.device) -> Tensor:
    return torch.hann_window(length, device=device)


@cache
def _mel_filters(settings: MelSettings, device: torch.device) -> Tensor:
    """Filters [n_fft // 2 + 1, M]. All settings are part of the key of the cache."""
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        settings.n_fft // 2 + 1,
        settings.n_mels,
        settings.fmin,
        settings.fmax or settings.sample_rate / 2,
        settings.sample_rate,
        norm=None if settings.htk else "slaney",
        mel_scale="htk" if settings.htk else "slaney",
    )
    return torch.from_numpy(filters).float().to(device)


@cache
def _kaldi(device: torch.device) -> nn.Module:
    from lhotse.features.kaldi.layers import Wav2LogFilterBank

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about windows within the waveform
        module: nn.Module = Wav2LogFilterBank(
            sampling_rate=ANALYSIS_RATE,
            num_filters=SPEAKER_MELS,
            high_freq=0.0,  # half the sample rate
            snip_edges=True,
        )
    return module.to(device)


@cache
def _resampler(rate: int, wanted_rate: int) -> nn.Module:
    from lhotse.augmentation.resample import Resample

    module: nn.Module = Resample(rate, wanted_rate)
    return module
