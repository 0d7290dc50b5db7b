"""The voice in recordings: where its pulses are, and their pitch, as Praat hears them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from sled.files.extras import install_command

GRID_HZ = 200
"""Points of a track in a second."""

PITCH_FLOOR_HZ = 75.0
PITCH_CEILING_HZ = 500.0

_LONGEST_PERIOD_S = 1 / 60
_SMOOTHING = 1.2
_FALLBACK_HZ = 150.0


@dataclass(frozen=True)
class VoicePhase:
    """The voice in waveforms of B segments.

    Attributes:
        phase: float64 [B, S] in cycles, at each sample; whole numbers are pulses. Where there is no
            voice, it goes on as between the neighbours.
        pitch: float64 [B, S] in Hz.
        voiced: bool [B, S].
    """

    phase: Tensor
    pitch: Tensor
    voiced: Tensor

    def to(self, device: str | torch.device) -> VoicePhase:
        """The same on a device."""
        return VoicePhase(self.phase.to(device), self.pitch.to(device), self.voiced.to(device))

    def preceded(self, samples: int, sample_rate: int) -> VoicePhase:
        """With so many samples before, at the first pitch, without voice."""
        times = torch.arange(-samples, 0, device=self.pitch.device) / sample_rate
        pitch = self.pitch[:, :1].expand(-1, samples)
        phase = self.phase[:, :1] + pitch * times
        silent = self.voiced.new_zeros(pitch.shape)
        before = VoicePhase(phase, pitch, silent)
        return joined([before, self], 1)


def joined(parts: Sequence[VoicePhase], dim: int) -> VoicePhase:
    """Parts, one after the other along a dimension."""
    return VoicePhase(
        torch.cat([part.phase for part in parts], dim),
        torch.cat([part.pitch for part in parts], dim),
        torch.cat([part.voiced for part in parts], dim),
    )


@dataclass(frozen=True)
class VoiceTrack:
    """The voice in a recording, at points that are 5 ms apart.

    Attributes:
        phase: float64 [n] in cycles.
        pitch: [n] in Hz.
        voiced: bool [n].
    """

    phase: np.ndarray
    pitch: np.ndarray
    voiced: np.ndarray

    def between(self, start: int, samples: int, sample_rate: int) -> VoicePhase:
        """The voice [1, samples] from a sample on; behind the end, the last pitch is held."""
        points = (start + np.arange(samples)) * (GRID_HZ / sample_rate)
        last = len(self.phase) - 1
        beyond = np.maximum(points - last, 0) * (self.pitch[-1] / GRID_HZ)
        phase = np.interp(points, np.arange(last + 1), self.phase) + beyond
        nearest = np.minimum(points.round().astype(int), last)
        tracks = (phase, self.pitch[nearest].astype(np.float64), self.voiced[nearest])
        return VoicePhase(*(torch.from_numpy(track)[None] for track in tracks))


def track_voice(waveform: np.ndarray, sample_rate: int) -> VoiceTrack:
    """Find the pulses of the voice in a recording [S].

    Raises:
        ValueError: If praat-parselmouth is not installed.
    """
    try:
        import parselmouth
        from parselmouth.praat import call
    except ImportError as error:
        raise ValueError(
            f"spectral codecs are trained with Praat's pitch: run {install_command('codec')}"
        ) from error
    duration_s = len(waveform) / sample_rate
    grid = np.arange(int(duration_s * GRID_HZ) + 2) / GRID_HZ
    # Praat needs three periods of the lowest pitch.
    times = np.empty(0)
    if duration_s > 6 / PITCH_FLOOR_HZ:
        sound = parselmouth.Sound(waveform.astype(np.float64), sample_rate)
        pitch = sound.to_pitch_ac(
            time_step=1 / GRID_HZ, pitch_floor=PITCH_FLOOR_HZ, pitch_ceiling=PITCH_CEILING_HZ
        )
        points = call([sound, pitch], "To PointProcess (cc)")
        if call(points, "Get number of points"):
            times = call(points, "To Matrix").values[0]
    return _track(times, grid)


def _track(times: np.ndarray, grid: np.ndarray) -> VoiceTrack:
    """The track, at the times of a grid, of pulses at these times; all in seconds."""
    periods = np.diff(times)
    voiced_gap = periods < _LONGEST_PERIOD_S
    if not voiced_gap.any():
        pitch = np.full(len(grid), _FALLBACK_HZ)
        return VoiceTrack(grid * _FALLBACK_HZ, pitch, np.zeros(len(grid), bool))
    index = np.arange(len(periods))
    rates = np.interp(index, index[voiced_gap], 1 / periods[voiced_gap])
    # Without a voice, as many whole cycles as fit best.
    cycles = np.where(voiced_gap, 1.0, np.maximum(1.0, (periods * rates).round()))
    before, after = times[0] + 1.0, grid[-1] - times[-1] + 1.0
    knots = np.concatenate(([times[0] - before], times, [times[-1] + after]))
    counts = np.concatenate(([0.0], cycles)).cumsum()
    counts = np.concatenate(([-before * rates[0]], counts, [counts[-1] + after * rates[-1]]))
    phase = np.interp(grid, knots, counts)
    # Without the jitter of single pulses, around the mean pitch.
    steady = grid * ((phase[-1] - phase[0]) / grid[-1])
    phase = gaussian_filter1d(phase - steady, _SMOOTHING, mode="nearest") + steady
    voiced = np.zeros(len(grid), bool)
    for start, end in zip(times[:-1][voiced_gap], times[1:][voiced_gap], strict=True):
        voiced[int(start * GRID_HZ) : int(end * GRID_HZ) + 2] = True
    return VoiceTrack(phase, np.gradient(phase) * GRID_HZ, voiced)
