"""The speech of whole texts: sessions that are fed at once and drained."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sled.files.audio import write_audio
from sled.streaming.engine import Engine
from sled.streaming.faults import find_fault
from sled.streaming.marks import Mark
from sled.streaming.options import SessionOptions
from sled.streaming.session import Session
from sled.text.tokenizer import TextTokenizer

logger = logging.getLogger(__name__)

# Seeds of further attempts are far from given seeds.
REDRAW_STRIDE = 1_000_003


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
        pauses: list[tuple[int, int]] = []
        for one, (start, end) in zip(chunks, spans, strict=True):
            if one.is_pause and pauses and pauses[-1][1] == start:  # a long one comes in pieces
                pauses[-1] = (pauses[-1][0], end)
            elif one.is_pause:
                pauses.append((start, end))
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


def speak_whole(
    engine: Engine,
    tokenizer: TextTokenizer,
    texts: Sequence[str],
    options: Sequence[SessionOptions],
    on_frame: Callable[[], None] | None = None,
) -> list[Speech]:
    """Open a session for each text, feed it at once, and drain it.

    Args:
        engine: Runs the sessions.
        tokenizer: Tokenizer of the model.
        texts: The texts.
        options: Those of each session.
        on_frame: Called for each frame, from another thread.

    Returns:
        The speech of each text, in order.

    Raises:
        ValueError: If a text cannot be said.
    """
    with ExitStack() as stack:
        sessions = [
            stack.enter_context(Session(engine, tokenizer, one, on_frame)) for one in options
        ]
        for session, text in zip(sessions, texts, strict=True):
            session.feed(text)
            session.flush()
        return [Speech.of(session) for session in sessions]


def speak_and_redraw(
    engine: Engine,
    tokenizer: TextTokenizer,
    texts: Sequence[str],
    options: Sequence[SessionOptions],
    max_redraws: int,
    on_frame: Callable[[], None] | None = None,
) -> list[Speech]:
    """As `speak_whole`, and again with other seeds where speech has a fault, see `find_fault`.

    Args:
        engine: Runs the sessions.
        tokenizer: Tokenizer of the model.
        texts: The texts.
        options: Those of each session. Speech that is cut at their limits has no fault for that.
        max_redraws: How often to try again. The last attempt is returned, even with a fault.
        on_frame: Called for each frame, from another thread.

    Returns:
        The speech of each text, in order.

    Raises:
        ValueError: If a text cannot be said.
    """
    speech = speak_whole(engine, tokenizer, texts, options, on_frame)
    for attempt in range(1, max_redraws + 1):
        faulty = [
            index
            for index, one in enumerate(speech)
            if _has_fault(one, texts[index], options[index], engine)
        ]
        if not faulty:
            break
        redrawn = speak_whole(
            engine,
            tokenizer,
            [texts[index] for index in faulty],
            [
                replace(options[index], seed=options[index].seed + attempt * REDRAW_STRIDE)
                for index in faulty
            ],
            on_frame,
        )
        for index, one in zip(faulty, redrawn, strict=True):
            speech[index] = one
    return speech


def _has_fault(speech: Speech, text: str, options: SessionOptions, engine: Engine) -> bool:
    """Whether speech has a fault, which is then told in a warning."""
    limits: tuple[int | None, ...] = ()
    if options.decoding is not None:
        limits = options.decoding.max_frames, options.decoding.max_length
    is_limited = any(limit is not None for limit in limits)
    fault = find_fault(
        speech.audio_without_pauses,
        speech.sample_rate,
        speech.stopped or is_limited,
        gain_db=options.output_gain_db(engine.model.config),
    )
    if fault is not None:
        logger.warning("%r %s: trying again", text[:40], fault.value)
    return fault is not None
