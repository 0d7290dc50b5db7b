"""The sound source of a spectral codec's decoder, and the filters that shape it.

Speech is pulses of the voice and noise, both filtered by the mouth. The network of the decoder
gives the pitch and two filters for each column of a spectrogram: a complex one for the pulses, and
a real one for the noise. The phase of the pulses goes on from column to column, so the network need
not learn how, and noise is drawn anew instead of being imitated.

Shapes: B batch, n columns, H samples of a hop. A window has two hops, and so H + 1 frequencies.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from sled.codec.exact import exact, exact_device
from sled.codec.fourier import filtered
from sled.codec.spectral.layers import CausalLayer
from sled.codec.stream_state import LayerState

PITCH_HZ = 180.0
"""The pitch that an output of 0 stands for."""

LOG_GAINS = (-4.0, -4.5)
"""Gains of new filters of pulses and of noise, whose power is 1: speech is about as loud."""

_PITCH_RANGE = 1.3
_PITCH_STEPS = 256
_BAND = 0.48
_MAX_LOG_GAIN = 5.0
_NOISE_BLOCKS = 1024


def pitch_output(pitch: Tensor) -> Tensor:
    """The output of the network that stands for a pitch in Hz."""
    return (pitch / PITCH_HZ).log().clamp(-_PITCH_RANGE, _PITCH_RANGE)


def pitch_of_output(outputs: Tensor) -> Tensor:
    """The pitch in Hz, from 50 to 660, that outputs of the network stand for, in float64.

    It is on the `exact_device` of theirs.

    It is rounded to 0.4 %: a difference of arithmetic would grow in the phase, which is its sum,
    and pieces of a signal would not be equal to the whole. They differ only where an output lies
    between two steps, up to the error of arithmetic: then by 0.4 % of the cycles in a hop or two.
    """
    rounded = (outputs * _PITCH_STEPS).round() / _PITCH_STEPS
    return PITCH_HZ * exact(rounded).clamp(-_PITCH_RANGE, _PITCH_RANGE).exp()


def pulses(phase: Tensor, pitch: Tensor, sample_rate: int) -> Tensor:
    """Pulses whose harmonics are equally strong; their power is 1.

    Args:
        phase: In cycles, float64 of any shape. A pulse is at each whole number.
        pitch: In Hz, of the same shape. It says how many harmonics there are.
        sample_rate: Hz.

    Returns:
        float32 of this shape.
    """
    harmonics = (_BAND * sample_rate / pitch).floor().clamp(min=1)
    angle = (phase - phase.round()) * (2 * math.pi)
    sine = (angle / 2).sin()
    near = sine.abs() < 1e-5
    # The sum of the cosines (Dirichlet's kernel), with its limit where the angle is 0.
    kernel = ((harmonics + 0.5) * angle).sin() / torch.where(near, 1.0, sine)
    kernel = torch.where(near, 2 * harmonics + 1, kernel)
    return ((kernel - 1) / (2 * harmonics).sqrt()).float()


class SourceFilter(CausalLayer):
    """Pitch and filters [B, 1 + 3 (H + 1), n] to the waveform [B, 1, n H].

    The pitch of a column is reached two hops after the column's first sample; it changes linearly
    between columns. A window begins with the samples that come out with its column.

    Args:
        sample_rate: Hz.
        hop: Samples between columns, H.

    Attributes:
        outputs: How many numbers a column has.
    """

    window: Tensor
    noise: Tensor

    def __init__(self, sample_rate: int, hop: int) -> None:
        super().__init__()
        self.sample_rate, self.hop, self.past = sample_rate, hop, 0
        self.outputs = 1 + 3 * (hop + 1)
        # On the processor also where a model is made without memory of its own, for loading.
        window = torch.hann_window(2 * hop, device="cpu").sqrt()
        self.register_buffer("window", window, persistent=False)
        generator = torch.Generator("cpu").manual_seed(0)
        noise = torch.randn(_NOISE_BLOCKS, hop, generator=generator, device="cpu")
        self.register_buffer("noise", noise, persistent=False)

    @override
    def step(self, x: Tensor, state: LayerState | None) -> tuple[Tensor, LayerState]:
        batch, _, columns = x.shape
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            pitch = pitch_of_output(x[:, 0])
            if state is None:
                state = self._silent(batch, x.device)
            if not columns:
                return x.new_empty(batch, 1, 0), state
            latest, phase, block, source, tail = state
            # At the beginning of a signal, there is no latest pitch.
            latest = torch.where(latest > 0, latest, pitch[:, :1])
            pitch = torch.cat((latest, pitch), 1)
            sound, phase = self._pulses(pitch, phase)
            numbers = block + torch.arange(columns, device=x.device)
            noise = self.noise[numbers % _NOISE_BLOCKS]
            source = torch.cat((source, torch.stack((sound.to(x.device), noise), 1)), 2)
            windows = self.voice_windows(source[:, 0], x) + self.noise_windows(source[:, 1], x)
            out = self.overlapped(windows, tail)
        after = (pitch[:, -1:], phase, block + columns, source[:, :, -1:], out[:, -1:])
        return out[:, :-1].reshape(batch, 1, -1), tuple(each.clone() for each in after)

    def _silent(self, batch: int, device: torch.device) -> LayerState:
        """The state before a signal: latest pitch, phase, number of the block, source, tail."""
        start = torch.zeros(batch, 1, dtype=torch.float64, device=exact_device(device))
        return (
            start,
            start.clone(),
            torch.zeros(batch, 1, dtype=torch.long, device=device),
            torch.zeros(batch, 2, 1, self.hop, device=device),
            torch.zeros(batch, 1, self.hop, device=device),
        )

    def _pulses(self, pitch: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
        """Pulses [B, n, H] between pitches [B, n + 1], and the phase [B, 1] at their end."""
        ramp = torch.arange(1, self.hop + 1, device=pitch.device, dtype=pitch.dtype) / self.hop
        between = pitch[:, :-1, None] + (pitch[:, 1:] - pitch[:, :-1])[..., None] * ramp
        cycles = between.cumsum(-1) / self.sample_rate
        ends = torch.cat((phase, cycles[..., -1]), 1).cumsum(1)
        sound = pulses(ends[:, :-1, None] + cycles, between, self.sample_rate)
        return sound, ends[:, -1:] % 1

    def voice_windows(self, pulses: Tensor, x: Tensor) -> Tensor:
        """Windows [B, n, 2 H] of pulses [B, n + 1, H], filtered as x [B, 1 + 3 (H + 1), n] says."""
        gain, phase, _ = x[:, 1:].mT.chunk(3, -1)
        return self._filtered(pulses, gain, phase)

    def noise_windows(self, noise: Tensor, x: Tensor) -> Tensor:
        """The same of noise."""
        return self._filtered(noise, x[:, 1:].mT.chunk(3, -1)[-1])

    def _filtered(self, blocks: Tensor, log_gain: Tensor, phase: Tensor | None = None) -> Tensor:
        windows = torch.cat((blocks[:, :-1], blocks[:, 1:]), -1) * self.window
        gain = log_gain.clamp(max=_MAX_LOG_GAIN).exp()
        return filtered(windows, gain, phase) * self.window

    def overlapped(self, windows: Tensor, tail: Tensor | None = None) -> Tensor:
        """The sum [B, n + 1, H] of windows [B, n, 2 H], and of what earlier ones left [B, 1, H]."""
        early, late = windows.chunk(2, -1)
        before = torch.zeros_like(late[:, :1]) if tail is None else tail
        return F.pad(early, (0, 0, 0, 1)) + torch.cat((before, late), 1)
