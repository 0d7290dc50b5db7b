"""What became of a caller, and whether what he heard came in time."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from sled.benchmarks.load.scripts import Script
from sled.simulation.player import play


class Ending(Enum):
    """How a call ended, if it has."""

    SPEAKING = "speaking"
    SPOKEN = "spoken"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass
class Outcome:
    """One call. Times are in seconds since the caller was due, however late he was let in.

    Attributes:
        script: What the caller did.
        due_s: When he was due, in seconds of the run.
        ending: How it ended.
        ended_s: When it ended.
        reason: Why it was refused or failed.
        sample_rate: In Hz.
        chunks: When audio came, and how many samples.
    """

    script: Script
    due_s: float
    ending: Ending = Ending.SPEAKING
    ended_s: float = 0.0
    reason: str = ""
    sample_rate: int = 24000
    chunks: list[tuple[float, int]] = field(default_factory=list)

    @property
    def audio_s(self) -> float:
        """Duration of the audio that came."""
        return sum(samples for _, samples in self.chunks) / self.sample_rate

    @property
    def first_audio_s(self) -> float:
        """When the first audio came."""
        return self.chunks[0][0]

    @property
    def stalled_s(self) -> float:
        """How long a player that starts with the first audio would wait for more."""
        return sum(play(self.chunks, self.sample_rate).stalls_s)

    @property
    def buffer_s(self) -> float:
        """How long the start would have to be delayed for no later wait."""
        played = play(self.chunks, self.sample_rate)
        behind, place_s = 0.0, played.start_s
        for chunk in played.chunks:
            behind = max(behind, chunk.arrival_s - place_s)
            place_s += chunk.duration_s
        return behind

    def audio_between(self, start_s: float, end_s: float) -> float:
        """Seconds of audio that came in an interval of the run, in seconds of the run."""
        samples = sum(
            samples for at_s, samples in self.chunks if start_s <= self.due_s + at_s < end_s
        )
        return samples / self.sample_rate


@dataclass(frozen=True)
class Alone:
    """A script on an idle server, as the standard for the same script under load.

    Attributes:
        enough_s: When so much text was written that speech could begin, in seconds after the
            caller was due.
        first_audio_s: When audio came after that, one value for each call.
        stalled_s: How long a player would wait although the server is idle.
        audio_s: Duration of the audio.
        written_s: When the text was complete.
    """

    enough_s: float
    first_audio_s: tuple[float, ...]
    stalled_s: float
    audio_s: float
    written_s: float

    @property
    def limited_by_text(self) -> bool:
        """Whether the writer is slower than the voice, so that every player has to wait."""
        return self.written_s > self.audio_s
