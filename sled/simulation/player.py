"""A player that only computes: would speech that came in chunks at these times have played on?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# Shorter than a sample: a difference of rounding, not a gap.
_INAUDIBLE_S = 1e-5


@dataclass(frozen=True)
class PlayedChunk:
    """One chunk of audio; times are in seconds from any start common to all.

    Attributes:
        arrival_s: When it came.
        due_s: When all audio before it had been played.
        duration_s: How long it plays.
    """

    arrival_s: float
    due_s: float
    duration_s: float

    @property
    def margin_s(self) -> float:
        """How long before it was needed it came; below 0, the player had to wait for it."""
        return self.due_s - self.arrival_s


@dataclass(frozen=True)
class Playback:
    """How a player fared.

    Attributes:
        start_s: When it began to play.
        chunks: What it played.
    """

    start_s: float
    chunks: tuple[PlayedChunk, ...]

    @property
    def first_audio_s(self) -> float:
        """When the first audio came."""
        return self.chunks[0].arrival_s

    @property
    def duration_s(self) -> float:
        """How long the audio is."""
        return sum(chunk.duration_s for chunk in self.chunks)

    @property
    def stalls_s(self) -> list[float]:
        """How long the player fell silent for want of audio, each time that it did."""
        return [-chunk.margin_s for chunk in self.chunks if chunk.margin_s < -_INAUDIBLE_S]

    def describe(self) -> str:
        """The timeline, a line for each chunk."""
        lines = [f"{self.first_audio_s:8.3f} s  first audio"]
        if self.start_s > self.first_audio_s:
            lines.append(f"{self.start_s:8.3f} s  playing starts")
        for number, chunk in enumerate(self.chunks, start=1):
            lines.append(
                f"{chunk.arrival_s:8.3f} s  chunk {number}: {chunk.duration_s:.3f} s of audio, "
                f"needed at {chunk.due_s:.3f} s, margin {chunk.margin_s:+.3f} s"
            )
        lines.append(
            f"underruns: {len(self.stalls_s)}, {sum(self.stalls_s):.3f} s of silence in "
            f"{self.duration_s:.3f} s of audio"
        )
        return "\n".join(lines)


def play(
    chunks: Iterable[tuple[float, int]], sample_rate: int, start_buffer_s: float = 0.0
) -> Playback:
    """Play chunks in thought.

    The player starts with the first audio, or once enough of it is there. When it runs dry, it
    goes on with the next chunk at once.

    Args:
        chunks: Of each, when it came, in seconds, and its number of samples; chunks without any
            are passed over.
        sample_rate: In Hz.
        start_buffer_s: Audio to gather before playing starts. Less will do at the end.

    Raises:
        ValueError: There is no audio at all, or a chunk came before the one that precedes it.
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
