"""An utterance of the server: the speech of one request, at the pace of its listener."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import numpy as np

from sled.serving.errors import ApiError
from sled.serving.playback import Playback
from sled.serving.waiting import within
from sled.streaming.marks import Mark, MarkKind
from sled.streaming.session import Session

logger = logging.getLogger(__name__)

# A session counts as started when its listener has this much audio ahead: the next one may start.
STARTED_LEAD_S = 0.25


class Utterance:
    """One utterance: text in, audio out.

    Args:
        session: Speaks.
        max_lead_s: Seconds of audio that may be taken ahead of real time. None: any. A limit is
            needed since a socket accepts minutes of audio before it slows its sender down, and
            audio that a listener has not heard when he interrupts was made in vain.
        reserve_s: Returns the seconds of audio until which the first audio is held back, but for no
            longer than that time. It is called when the first audio has come, since sessions that
            start together make each other slower.
        on_started: Called when the listener has a reserve of audio, see `Admission.slot`.
        speed: By what factor the listener hears the audio faster.

    Attributes:
        text: The text so far.
        num_samples: Samples taken so far.
        playback: How far the audio is ahead of a player since the text has been complete.
        writing: The same before that, when a player may also have nothing to play because the text
            has not come.
        held_s: Seconds for which the first audio was held back.
        on_first_audio: Called when the first audio is taken.
    """

    def __init__(
        self,
        session: Session,
        max_lead_s: float | None = None,
        reserve_s: Callable[[], float] = lambda: 0.0,
        on_started: Callable[[], None] = lambda: None,
        speed: float = 1.0,
    ) -> None:
        self._session, self._max_lead_s, self._speed = session, max_lead_s, speed
        self._reserve_s, self._on_started = reserve_s, on_started
        self._first_s = 0.0
        self._num_marks: dict[MarkKind, int] = {}
        self._complete = False
        self._fed_s: float | None = None
        self.playback, self.writing = Playback(), Playback()
        self.on_first_audio: Callable[[], None] | None = None
        self.text, self.num_samples, self.held_s = "", 0, 0.0

    def feed(self, text: str) -> None:
        """Take more of the text."""
        if self._fed_s is None:
            self._fed_s = time.perf_counter()
        self.text += text
        self._session.feed(text)

    def end_segment(self) -> None:
        """Have the text so far said to its end, without waiting for more."""
        self._session.end_segment()

    def flush(self) -> None:
        """Note that the text is complete."""
        self._complete = True
        self._session.flush()

    def note_started_if_writing(self) -> None:
        """Let other sessions start if the text is still being written."""
        if not self._complete:
            self._on_started()

    @property
    def model_s(self) -> float | None:
        """Seconds from the first text to when the first audio was made. None: it was not taken."""
        ready_s = self._session.first_ready_s
        return None if ready_s is None or self._fed_s is None else ready_s - self._fed_s

    @property
    def seconds(self) -> float:
        """Duration of the audio taken so far, at its own speed."""
        return self.num_samples / self._session.sample_rate

    @property
    def has_marks(self) -> bool:
        """Whether the model tells when its words are said."""
        return self._session.has_marks

    def take_marks(self, kind: MarkKind) -> list[Mark]:
        """The marks of the audio that has been taken, without those that were returned before.

        Call it after each piece of audio, and once at the end.

        Args:
            kind: Of words, or of characters.
        """
        num_marks = self._num_marks.get(kind, 0)
        # The session may have given pieces that are held back.
        marks = self._session.marks(kind, num_marks, self.seconds)
        self._num_marks[kind] = num_marks + len(marks)
        return marks

    def heard_text(self, played_s: float) -> str:
        """The text, as it was fed, whose words had begun when so many seconds were played."""
        return self._session.heard_text(played_s)

    async def audio(self) -> AsyncIterator[np.ndarray]:
        """Pieces of audio [S], not further ahead than the listener may be.

        Raises:
            ApiError: If the text cannot be said, or the engine fails.
        """
        try:
            asked_s = time.perf_counter()
            async for piece in self._pieces():
                await asyncio.sleep(0)  # others speak, too: pauses come without any waiting
                seconds = len(piece) / self._session.sample_rate / self._speed
                if not self.playback.has_begun:
                    self.writing.add(seconds, asked_s)
                if self._complete:
                    self.playback.add(seconds, asked_s)
                await self._keep_lead()
                if not self.num_samples:
                    self._first_s = time.perf_counter()
                    if self.on_first_audio is not None:
                        self.on_first_audio()
                self.num_samples += len(piece)
                if self._lead_s() >= STARTED_LEAD_S:
                    self._on_started()
                yield piece
                asked_s = time.perf_counter()
        except ValueError as error:
            blank = not self.text.strip()
            raise ApiError(
                "text_empty" if blank else "invalid_value", str(error), "input"
            ) from error
        except Exception as error:
            logger.exception("a session failed")
            raise ApiError("engine_failed", "speaking failed: try again", None, 1.0) from error

    async def _pieces(self) -> AsyncIterator[np.ndarray]:
        """The audio; the first pieces come together, so that the listener has a reserve."""
        held: list[np.ndarray] = []
        # The session loses nothing if it is not waited for any longer.
        with suppress(TimeoutError, StopAsyncIteration):
            held.append(await anext(self._session))
            begun_s, reserve_s = time.perf_counter(), self._reserve_s()
            ends_s = begun_s + reserve_s
            while sum(map(len, held)) < reserve_s * self._session.sample_rate * self._speed:
                wait_s = max(0.0, ends_s - time.perf_counter())
                held.append(await within(wait_s, anext(self._session)))
        if held:
            self.held_s = time.perf_counter() - begun_s
        for piece in held:
            yield piece
        async for piece in self._session:
            yield piece

    def _lead_s(self) -> float:
        """How far the audio is ahead of a player that began with the first piece."""
        return self.seconds / self._speed - (time.perf_counter() - self._first_s)

    async def _keep_lead(self) -> None:
        if self._max_lead_s is None or not self.num_samples:
            return
        lead_s = self._lead_s()
        if lead_s > self._max_lead_s:
            await asyncio.sleep(lead_s - self._max_lead_s)
