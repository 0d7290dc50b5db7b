"""Where the pulses of a voice are, of sounds of which it is known."""

import numpy as np
import pytest

from sled.training.codec.voice import joined, track_voice

RATE = 24_000


def glide(seconds: float, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """A voice [S] whose pitch rises, and its pitch in Hz."""
    pitch = np.linspace(low, high, int(seconds * RATE))
    cycles = np.cumsum(pitch) / RATE
    harmonics = [np.cos(2 * np.pi * k * cycles) / k for k in range(1, 20)]
    return 0.1 * np.sum(harmonics, 0), pitch


def test_phase_and_pitch_follow_a_voice_between_silences() -> None:
    sound, wanted = glide(1.0, 120, 220)
    silence = 1e-4 * np.random.default_rng(0).standard_normal(RATE // 2)
    whole = np.concatenate((silence, sound, silence)).astype(np.float32)
    voice = track_voice(whole, RATE).between(0, len(whole), RATE)
    inside = slice(RATE // 2 + 2400, 3 * RATE // 2 - 2400)
    assert voice.voiced[0, inside].all()
    assert not voice.voiced[0, : RATE // 4].any() and not voice.voiced[0, -RATE // 4 :].any()
    error = voice.pitch[0, inside].numpy() / wanted[2400:-2400] - 1
    assert np.abs(error).max() < 0.05
    # Pulses are where the harmonics meet, but for a constant part of a cycle.
    true = np.cumsum(wanted)[2400:-2400] / RATE
    difference = np.exp(2j * np.pi * (voice.phase[0, inside].numpy() - true))
    assert abs(difference.mean()) > 0.95
    assert (voice.phase.diff() > 0).all()


@pytest.mark.parametrize("seconds", [0.01, 0.5])
def test_sounds_without_a_voice_have_a_steady_phase(seconds: float) -> None:
    track = track_voice(np.zeros(int(seconds * RATE), np.float32), RATE)
    voice = track.between(10, 2 * RATE, RATE)
    assert not voice.voiced.any()
    assert (voice.phase.diff() - voice.pitch[:, 1:] / RATE).abs().max() < 1e-6


def test_what_precedes_continues_backwards() -> None:
    track = track_voice(glide(0.5, 150, 150)[0].astype(np.float32), RATE)
    voice = track.between(4000, 3000, RATE)
    longer = voice.preceded(1000, RATE)
    assert longer.phase.shape == (1, 4000)
    assert (longer.phase[:, 1000:] == voice.phase).all()
    assert (longer.phase.diff()[:, :1000] - 150 / RATE).abs().max() < 1e-3
    assert joined([voice, voice], 0).pitch.shape == (2, 3000)
