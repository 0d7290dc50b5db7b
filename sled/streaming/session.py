"""A conversation with the model: text goes in as it is written, audio comes out as it is made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from sled.streaming.audio_queue import Chunk
from sled.streaming.engine import Engine
from sled.streaming.options import Delivery
from sled.streaming.track import Track, TrackState
from sled.text.tokenizer import TextTokenizer

Encoding = Literal["float32", "int16"]
SLICE = 500  # characters


def to_int16(audio: np.ndarray) -> np.ndarray:
    """Samples of full scale 1 as 16-bit integers."""
    return np.round(np.clip(audio, -1, 1) * 32767).astype(np.int16)


@dataclass(frozen=True, eq=False)
class SessionState:
    """A session as a value: keep it, and go on from it as often as you like.

    Attributes:
        track: What it says.
        encoding: Of its audio.
    """

    track: TrackState
    encoding: Encoding


class Session:
    """One utterance of any length, spoken while its text is being written.

    Opened with `TTS.open_session`. Text is fed and audio taken in any order, in the same thread or
    in two, or by tasks of an event loop (`async for`); nobody who feeds waits for the model.

        with tts.open_session() as session:
            session.feed("four two ")
            session.feed("seven")
            session.flush()
            for audio in session:
                play(audio)

    Attributes:
        sample_rate: Of the audio, in Hz.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: TextTokenizer,
        delivery: Delivery,
        *,
        seed: int = 0,
        encoding: Encoding = "float32",
        on_frame: Callable[[], None] | None = None,
    ) -> None:
        if encoding not in ("float32", "int16"):
            raise ValueError(f"encoding={encoding!r}: choose float32 or int16")
        if not -(2**63) <= seed < 2**63:
            raise ValueError(f"seed={seed}: a seed is a number of at most 63 bits")
        self._engine, self._encoding = engine, encoding
        generator = torch.Generator().manual_seed(seed)
        self._track = Track(engine, tokenizer, delivery, generator, on_frame)
        self._flushed = self._cancelled = False
        self.sample_rate = engine.codec.sample_rate

    @classmethod
    def resume(cls, state: SessionState, engine: Engine, tokenizer: TextTokenizer) -> Session:
        """A session that goes on where another one stood when its snapshot was taken."""
        session = cls(engine, tokenizer, state.track.delivery, encoding=state.encoding)
        session._flushed = state.track.position.text_ended
        track = session._track
        engine.submit(track, lambda: track.restore(state.track))
        return session

    # In.

    def feed(self, text: str) -> None:
        """Take the next piece of the text, down to single characters.

        What is wrong with a text is told to who takes the audio.

        Raises:
            ValueError: If the text has been flushed, or the session cancelled.
        """
        if not isinstance(text, str):
            raise ValueError(f"text must be a str, not {type(text).__name__}: decode it first")
        if self._cancelled:
            raise ValueError("the session has been cancelled: open a new one")
        if self._flushed:
            raise ValueError("the text has been flushed: open a new session for more")
        # Cutting text into tokens takes time: much of it at once would keep other sessions waiting.
        for start in range(0, len(text), SLICE):
            self._submit(text[start : start + SLICE], ended=False)

    def flush(self) -> None:
        """Say that the text is complete. Once is enough."""
        if not self._flushed:
            self._flushed = True
            self._submit("", ended=True)

    def cancel(self) -> None:
        """Stop, free everything, and end the iteration."""
        self._cancelled = self._flushed = True
        self._track.cancel()

    def _submit(self, text: str, *, ended: bool) -> None:
        track, at_s = self._track, time.perf_counter()
        self._engine.submit(track, lambda: track.feed(text, ended, at_s))

    def snapshot(self) -> SessionState:
        """The session as it stands, whatever is not yet said or taken included.

        Raises:
            ValueError: If the session has been cancelled; and whatever has gone wrong with it.
        """
        if self._cancelled:
            raise ValueError("the session has been cancelled: there is nothing to go on from")
        state = self._engine.ask(self._track, self._track.save)
        if self._track.sink.error is not None:
            raise self._track.sink.error
        # Once it is done, nothing but what waits to be taken can change.
        return SessionState(state or self._track.save(), self._encoding)

    # Out.

    @property
    def stopped(self) -> bool:
        """Whether all has been said, and the model ended it by itself; False if it was cut."""
        return self._track.stopped

    def chunks(self) -> Iterator[Chunk]:
        """Audio with the frames it was made of."""
        while (chunk := self._track.sink.take()) is not None:
            yield chunk

    def __iter__(self) -> Iterator[np.ndarray]:
        """Audio [S] as it is made: float32, or int16 if asked for."""
        for chunk in self.chunks():
            if len(chunk.audio):
                yield self._encode(chunk.audio)

    def __aiter__(self) -> Session:
        """The same for tasks."""
        return self

    async def __anext__(self) -> np.ndarray:
        """The next audio; a task that is cancelled while it waits has missed nothing."""
        while (chunk := await self._track.sink.take_async()) is not None:
            if len(chunk.audio):
                return self._encode(chunk.audio)
        raise StopAsyncIteration

    def _encode(self, audio: np.ndarray) -> np.ndarray:
        return audio if self._encoding == "float32" else to_int16(audio)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()

    def __del__(self) -> None:
        # Given up without being read to its end: the engine would speak on for nobody.
        if hasattr(self, "_track"):
            self._track.cancel()
