"""The source of a vocoder: sines at the harmonics of the fundamental frequency, and noise.

The phases are carried from one piece to the next, in cycles and in float64: their sum over a long
signal would lose its fraction in float32.

Shapes: B batch, n frames, S samples, K harmonics.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor, nn

from sled.codec.exact import back, exact_device
from sled.codec.memory import Memory

# After so many frames the noise begins again.
NOISE_FRAMES = 500


class Source(nn.Module):
    """Harmonics and noise, mixed to one signal.

    Args:
        kind: How the phases come about: "1" by adding up the frequencies of samples; "2" by adding
            up those of frames, with phases between the middles of frames interpolated.
        sample_rate: Hz.
        hop: Samples of a frame.
        harmonics: K - 1, those beside the fundamental.
        amplitude: Of the sines.
        noise: Deviation of the noise in voiced sounds.
        threshold: The frequency in Hz from which sounds are voiced.
    """

    def __init__(
        self,
        kind: str,
        sample_rate: int,
        hop: int,
        harmonics: int,
        amplitude: float,
        noise: float,
        threshold: float,
    ) -> None:
        super().__init__()
        if kind not in ("1", "2"):
            raise ValueError(f"sinegen {kind!r}: choose '1' or '2'")
        if hop % 2:
            raise ValueError(f"a frame must have an even number of samples, got {hop}")
        self.kind, self.sample_rate, self.hop, self.count = kind, sample_rate, hop, harmonics + 1
        self.amplitude, self.noise, self.threshold = amplitude, noise, threshold
        self.l_linear = nn.Linear(self.count, 1)

    def step(self, f0: Tensor, memory: Memory, phase: Tensor, noise: Tensor | None) -> Tensor:
        """Frequencies of a piece to the samples that are complete.

        Args:
            f0: [B, n] in Hz; they may be on the CPU, see `sled.codec.exact`.
            memory: Carries phases and frequencies.
            phase: [K] or [B, K] of the harmonics at the beginning, in radians; used by kind "1".
            noise: [B, K, S] of the samples that come out. None: the fixed noise.

        Returns:
            [B, 1, S].
        """
        f0 = f0.to(exact_device(f0.device))
        harmonic = torch.arange(1, self.count + 1, device=f0.device, dtype=torch.float64)
        rate = (f0[:, None] * harmonic[:, None].to(f0) / self.sample_rate).double() % 1
        if self.kind == "1":
            sine, voicing = self._sum_samples(rate, f0, memory, phase.to(f0.device))
        else:
            sine, voicing = self._sum_frames(rate, f0, memory)
        samples, weight = sine.shape[-1], self.l_linear.weight
        done = torch.zeros(len(f0), dtype=torch.long, device=weight.device)
        before = memory.exchange(done)
        if before is not None:
            done = before
        if not memory.ends:
            memory.after[-1] = done + samples
        if noise is None:
            noise = fixed_noise_at(done, samples, self.count, self.hop)
        sine = back(sine, weight)
        voiced = back(voicing > self.threshold, weight)[:, None]
        loudness = voiced * self.noise + (1 - voiced) * self.amplitude / 3
        waves = voiced * self.amplitude * sine + loudness * noise.to(sine)
        mixed: Tensor = torch.tanh(self.l_linear(waves.mT)).mT
        return mixed

    def _spread(self, x: Tensor) -> Tensor:
        """Repeat what there is for each frame for its samples: [..., n] to [..., S]."""
        return x[..., None].expand(*x.shape, self.hop).flatten(-2)

    def _sum_samples(
        self, rate: Tensor, f0: Tensor, memory: Memory, phase: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sines [B, K, S] and the frequency [B, S] of each sample."""
        cycles = self._spread(rate).cumsum(-1)
        total = cycles[..., -1:] if cycles.shape[-1] else rate.new_zeros(*rate.shape[:2], 1)
        before = memory.exchange(total)
        if before is not None:
            cycles = cycles + before
            if not memory.ends:
                memory.after[-1] = (total + before) % 1
        angle = 2 * math.pi * (cycles % 1) + phase.double()[..., None]
        return angle.sin(), self._spread(f0)

    def _sum_frames(self, rate: Tensor, f0: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """The same; phases are linear between the middles of frames, constant before and after."""
        steps = self.hop * rate  # cycles of each frame
        cycles = steps.cumsum(-1)
        zero = rate.new_zeros(*rate.shape[:2], 1)
        last = cycles[..., -1:] if cycles.shape[-1] else zero
        before = memory.exchange(last)
        if before is not None:
            cycles, last = cycles + before, last + before
            if not memory.ends:
                memory.after[-1] = last % 1
        half = self.hop // 2
        weight = (torch.arange(self.hop, device=rate.device, dtype=torch.float64) + 0.5) / self.hop
        # From the middle of the frame before to that of each frame.
        if before is None:
            start, steps_in = cycles[..., :1], steps[..., 1:]
            spans = cycles[..., :-1, None] + steps_in[..., None] * weight
            angle = spans.flatten(-2)
            angle = torch.cat((start.expand(-1, -1, half if cycles.shape[-1] else 0), angle), -1)
        else:
            starts = torch.cat((before, cycles), -1)[..., :-1, None]
            angle = (starts + steps[..., None] * weight).flatten(-2)
        if memory.ends:
            angle = torch.cat((angle, last.expand(-1, -1, half)), -1)
        # Of the samples up to the middle of the newest frame, the voicing is known, too.
        sine = (2 * math.pi * (angle % 1)).sin()
        sine, voicing = memory.together(sine, self._spread(f0)[:, None])
        return sine, voicing[:, 0]


@cache
def _fixed_noise(harmonics: int, hop: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(harmonics, NOISE_FRAMES * hop, generator=generator)


def fixed_noise_at(start: Tensor, samples: int, harmonics: int, hop: int) -> Tensor:
    """The noise [B, K, S] from the samples `start` [B] on: always the same, for the same speech."""
    noise = _fixed_noise(harmonics, hop)
    index = (start.cpu()[:, None] + torch.arange(samples)) % noise.shape[-1]
    return noise[:, index].transpose(0, 1).to(start.device)


@cache
def fixed_phase(harmonics: int) -> Tensor:
    """The phases [K] at the beginning of speech: any, but always the same; 0 for the first."""
    generator = torch.Generator().manual_seed(1)
    phase = math.pi * (2 * torch.rand(harmonics, generator=generator) - 1)
    phase[0] = 0
    return phase
