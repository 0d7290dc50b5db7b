"""Voices that come with a checkpoint: recordings and their transcripts in its folder `voices`.

voices/joe.flac    what Joe said, a few seconds
voices/joe.txt     the words
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

VOICES_FOLDER = "voices"
_TRANSCRIPT_SUFFIX = ".txt"


@dataclass(frozen=True)
class RecordedVoice:
    """A recording of a voice.

    Attributes:
        audio: Its file.
        text: The words in it.
    """

    audio: Path
    text: str


def recorded_voices(checkpoint: Path) -> dict[str, RecordedVoice]:
    """The voices of a checkpoint by name, in alphabetical order; without the folder, none.

    Args:
        checkpoint: Its folder.

    Raises:
        ValueError: If a recording has no transcript, or a transcript no recording.
    """
    files = sorted((checkpoint / VOICES_FOLDER).glob("[!.]*.*"))
    transcripts = {path.stem: path for path in files if path.suffix == _TRANSCRIPT_SUFFIX}
    recordings = {path.stem: path for path in files if path.suffix != _TRANSCRIPT_SUFFIX}
    for name, path in recordings.items():
        if name not in transcripts:
            raise ValueError(f"{path} has no transcript: write its words into {name}.txt beside it")
    for name, path in transcripts.items():
        if name not in recordings:
            raise ValueError(f"{path} has no recording beside it, such as {name}.flac")
    return {
        name: RecordedVoice(path, transcripts[name].read_text(encoding="utf-8").strip())
        for name, path in recordings.items()
    }
