"""A simulated player: computes from arrival times whether speech would play without stalls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# Shorter than a sample: a rounding error, not a gap.
_INAUDIBLE_S = 1e-5


@dataclass(frozen=True)
class PlayedChunk:
    """One chunk of audio. All chunks count time in seconds from the same start.

    Attributes:
        arrival_s: Time when the chunk arrived.
        due_s: Time when all audio before it had been played.
        duration_s: Duration of the chunk.
    """

    arrival_s: float
    due_s: float
    duration_s: float

    @property
    def margin_s(self) -> float:
        """Time from arrival to due time. If it is negative, the player had to wait."""
        return self.due_s - self.arrival_s


@dataclass(frozen=True)
class Playback:
    """The result of a simulated playback.

    Attributes:
        start_s: Time when playback began.
        chunks: The chunks played.
    """

    start_s: float
    chunks: tuple[PlayedChunk, ...]

    @property
    def first_audio_s(self) -> float:
        """Time when the first audio arrived."""
        return self.chunks[0].arrival_s

    @property
    def duration_s(self) -> float:
        """Duration of all audio."""
        return sum(chunk.duration_s for chunk in self.chunks)

    @property
    def stalls_s(self) -> list[float]:
        """Duration of each stall, in which the player waited for audio."""
        return [-chunk.margin_s for chunk in self.chunks if chunk.margin_s < -_INAUDIBLE_S]


def play(
    chunks: Iterable[tuple[float, int]], sample_rate: int, start_buffer_s: float = 0.0
) -> Playback:
    """Simulate the playback of chunks.

    The player starts when it has buffered enough audio. After a stall it continues as soon as the
    next chunk arrives.

    Args:
        chunks: Arrival time in seconds and number of samples of each chunk. Empty chunks are
            skipped.
        sample_rate: In Hz.
        start_buffer_s: Audio to buffer before playback starts, in seconds. At the end of the audio,
            playback starts with less.

    Raises:
        ValueError: If there is no audio, or the arrival times decrease.
    """
    arrivals = [(arrival_s, samples / sample_rate) for arrival_s, samples in chunks if samples]
    if not arrivals:
        raise ValueError("there is no audio to play: every chunk is empty")
    times = [arrival_s for arrival_s, _ in arrivals]
    if times != sorted(times):
        raise ValueError(f"chunks arrive out of order, at {times} s: give them as they came")

    gathered_s, start_s = 0.0, times[-1]
    for arrival_s, duration_s in arrivals:
        gathered_s += duration_s
        if gathered_s >= start_buffer_s:
            start_s = arrival_s
            break
    played, due_s = [], start_s
    for arrival_s, duration_s in arrivals:
        played.append(PlayedChunk(arrival_s, due_s, duration_s))
        due_s = max(due_s, arrival_s) + duration_s
    return Playback(start_s, tuple(played))
