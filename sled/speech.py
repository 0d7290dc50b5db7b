"""Speech that has been made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sled.files.audio import write_audio
from sled.streaming.marks import Mark
from sled.streaming.session import Session


@dataclass(frozen=True, eq=False)
class Speech:
    """One utterance.

    Attributes:
        audio: [S] float32 waveform.
        sample_rate: In Hz.
        units: [T, ...] the units it was decoded from.
        stopped: True if the model ended it, False if it was cut at a limit.
        pauses: Where each silence that the text asks for starts and ends, in samples. It has no
            units.
        marks: When its words are said; none if the model does not tell, see `Session.has_marks`.
        joints: Where the pieces meet that the codec decoded one after another, in samples.
    """

    audio: np.ndarray
    sample_rate: int
    units: Tensor
    stopped: bool
    pauses: tuple[tuple[int, int], ...] = ()
    marks: tuple[Mark, ...] = ()
    joints: tuple[int, ...] = ()

    @classmethod
    def of(cls, session: Session) -> Speech:
        """All speech of a session, whose text is complete."""
        chunks = list(session.chunks())
        audio = np.concatenate([chunk.audio for chunk in chunks])
        units = torch.cat([chunk.units for chunk in chunks])
        ends = np.cumsum([len(chunk.audio) for chunk in chunks]).tolist()
        spans = [(end - len(one.audio), end) for one, end in zip(chunks, ends, strict=True)]
        pauses = [span for one, span in zip(chunks, spans, strict=True) if one.is_pause]
        return cls(
            audio,
            session.sample_rate,
            units,
            session.stopped,
            tuple(pauses),
            tuple(session.marks()),
            tuple(end for end in ends[:-1] if 0 < end < len(audio)),
        )

    @property
    def audio_without_pauses(self) -> np.ndarray:
        """[S] the waveform without the silences that the text asks for."""
        spoken = np.ones(len(self.audio), bool)
        for start, end in self.pauses:
            spoken[start:end] = False
        return self.audio[spoken]

    @property
    def seconds(self) -> float:
        """The duration."""
        return len(self.audio) / self.sample_rate

    def save(self, path: str | Path) -> None:
        """Write an audio file in the format of its suffix."""
        write_audio(path, self.audio, self.sample_rate)
