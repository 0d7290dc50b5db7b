"""The sound source of the spectral codec against definitions of pulses and noise."""

import math

import pytest
import torch
from torch import Tensor

from sled.codec.spectral.excitation import SourceFilter, pitch_output, pulses
from tests.debug import randn

RATE, HOP = 24_000, 320
SILENT = -1e9


def sum_of_cosines(phase: Tensor, count: int) -> Tensor:
    numbers = torch.arange(1, count + 1)
    return (2 * math.pi * phase[:, None] * numbers).cos().sum(1) / math.sqrt(count / 2)


def columns(count: int, pitch: float, voice: float, noise: float) -> Tensor:
    """The layer's input [1, C, n]: this pitch, and these log-gains at all frequencies."""
    output = float(pitch_output(torch.tensor(pitch)))
    parts = (
        torch.full((1, count), output),
        *(torch.full((HOP + 1, count), gain) for gain in (voice, 0.0, noise)),
    )
    return torch.cat(parts)[None]


@pytest.mark.parametrize("pitch", [50.0, 181.0, 600.0])
def test_pulses_are_the_sum_of_the_harmonics(pitch: float) -> None:
    phase = torch.cat((torch.tensor([0.0, 1.0, 7.5]), 10 * randn(200))).double()
    got = pulses(phase, torch.full_like(phase, pitch), RATE)
    wanted = sum_of_cosines(phase, int(0.48 * RATE / pitch)).float()
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)
    steady = torch.arange(RATE, dtype=torch.float64) * (pitch / RATE)
    assert (
        abs(float(pulses(steady, torch.full_like(steady, pitch), RATE).square().mean()) - 1) < 0.1
    )


def test_a_steady_pitch_gives_pulses_without_a_break() -> None:
    layer, x = SourceFilter(RATE, HOP), columns(9, 180.0, 0.0, SILENT)
    sound = layer.step(x, None)[0][0, 0]
    times = torch.arange(1, len(sound) - HOP + 1, dtype=torch.float64) / RATE
    assert sound[:HOP].abs().max() < 1e-6
    wanted = sum_of_cosines(180 * times, 64).float()
    # Before the second block, a window is missing.
    torch.testing.assert_close(sound[2 * HOP :], wanted[HOP:], atol=1e-3, rtol=1e-3)


def test_noise_has_the_power_of_its_gain_and_does_not_repeat() -> None:
    layer = SourceFilter(RATE, HOP)
    sound = layer.step(columns(60, 180.0, SILENT, math.log(0.1)), None)[0][0, 0, 2 * HOP :]
    assert abs(float(sound.std()) - 0.1) < 0.005
    correlation = torch.fft.irfft(torch.fft.rfft(sound).abs().square())
    assert correlation[1 : len(correlation) // 2].abs().max() < 0.1 * correlation[0]


def test_pieces_are_the_whole() -> None:
    layer = SourceFilter(240, 4)
    x = 0.5 * randn(2, layer.outputs, 30)
    whole, state, pieces = layer.step(x, None)[0], None, []
    for piece in x.split([0, 1, 4, 0, 10, 15], -1):
        sound, state = layer.step(piece, state)
        pieces.append(sound)
    torch.testing.assert_close(torch.cat(pieces, -1), whole, atol=1e-6, rtol=1e-6)
