"""A session: text goes in as it is written, audio comes out as it is made.

    text -> TextStage -> SegmentRunner -> AudioStage -> audio

Each stage runs on a thread of the engine and sends its results to the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, TimeoutError
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from sled.streaming.arguments import check_text
from sled.streaming.audio_queue import AudioQueue, Chunk
from sled.streaming.audio_stage import AudioStage, AudioState
from sled.streaming.engine import Engine
from sled.streaming.marks import Mark, MarkKind
from sled.streaming.options import SessionOptions
from sled.streaming.runner_state import RunnerState
from sled.streaming.segment_runner import SegmentRunner
from sled.streaming.text_stage import TextEvent, TextStage, TextState
from sled.streaming.voice import Voice
from sled.text.pronunciations import Pronunciations
from sled.text.tokenizer import TextTokenizer


def to_int16(audio: np.ndarray) -> np.ndarray:
    """Samples with a full scale of 1 as 16-bit integers."""
    samples: np.ndarray = np.round(np.clip(audio, -1, 1) * 32767).astype(np.int16)
    return samples


@dataclass(frozen=True, eq=False)
class SessionState:
    """A session as a value, to be continued any number of times.

    It can be pickled, and continued later with the same model and codec.

    Attributes:
        options: The settings of the session.
        flushed: Whether its text is complete.
        text: The state of the text stage.
        runner: The state of the segment runner.
        audio: The state of the audio stage.
    """

    options: SessionOptions
    flushed: bool
    text: TextState
    runner: RunnerState
    audio: AudioState


class Session:
    """An utterance of any length, spoken while its text is being written.

    Opened with `TTS.open_session`. Text is fed and audio taken in any order, by one thread or two,
    or by asyncio tasks (`async for`). `feed` never waits for the model.

        with tts.open_session() as session:
            session.feed("four two ")
            session.feed("seven")
            session.flush()
            for audio in session:
                play(audio)

    Args:
        engine: Runs the stages.
        tokenizer: Tokenizer of the engine's model.
        options: The settings, with the voice prepared.
        on_frame: Called for each frame, on the decoding thread.

    Attributes:
        sample_rate: Sample rate of the audio, in Hz.
        first_ready_s: When the first audio could be taken, by `time.perf_counter`. None: none has
            been taken.

    Raises:
        ValueError: If the voice cannot be used.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: TextTokenizer,
        options: SessionOptions,
        on_frame: Callable[[], None] | None = None,
    ) -> None:
        voice = options.voice
        assert voice is None or isinstance(voice, Voice)
        self._engine, self._options = engine, options
        self._flushed = self._cancelled = False
        self.sample_rate = engine.codec.sample_rate
        self.first_ready_s: float | None = None

        # The stages must not refer to the session: one that is dropped by its user is cancelled.
        def process_text() -> None:
            if text.work():
                schedule_text()

        def schedule_text() -> None:
            engine.submit_text(runner, process_text)

        def send(event: TextEvent) -> None:
            engine.submit(runner, partial(runner.receive, event))

        queue = AudioQueue()
        audio = AudioStage(
            engine.codec,
            queue,
            lambda: engine.release(runner),
            voice,
            options.trim_tail,
            options.output_gain_db(engine.model.config),
            options.playback_speed,
        )
        runner = SegmentRunner(engine, tokenizer, options, audio, queue, schedule_text, on_frame)
        limits = options.limits or options.budget(engine.model.config).segment_limits()
        text = TextStage(
            tokenizer,
            limits,
            send,
            lambda: runner.num_taken,
            Pronunciations.of(options.pronunciations),
            options.markup,
            engine.model.config.speaking.known_words,
            options.dialect,
        )
        self._text, self._runner, self._audio, self._queue = text, runner, audio, queue
        self._process_text = process_text

    @classmethod
    def resume(cls, state: SessionState, engine: Engine, tokenizer: TextTokenizer) -> Session:
        """A session that continues from a snapshot."""
        options = state.options
        if isinstance(options.voice, Voice):
            options = replace(options, voice=options.voice.with_model(engine.model))
        session = cls(engine, tokenizer, options)
        session._flushed = state.flushed
        if state.flushed:
            session._queue.release()
        session._text.restore(state.text)
        session._audio.restore(state.audio)  # before the runner, which sends it units
        runner = session._runner
        engine.submit(runner, partial(runner.restore, state.runner))
        if state.audio.complete:
            runner.stopped = state.runner.stopped
            engine.release(runner)
        engine.submit_text(runner, session._process_text)
        return session

    # In.

    def feed(self, text: str) -> None:
        """Take the next piece of the text, down to single characters.

        Errors in the text are raised where the audio is taken.

        Raises:
            ValueError: If the text has been flushed, or the session cancelled.
        """
        check_text(text)
        self._check_open()
        self._submit(partial(self._text.feed, text, time.perf_counter()))

    def end_segment(self) -> None:
        """Say the text so far to its end, without waiting for more; later text continues it.

        Raises:
            ValueError: If the text has been flushed, or the session cancelled.
        """
        self._check_open()
        self._submit(partial(self._text.end_segment, time.perf_counter()))

    def _check_open(self) -> None:
        if self._cancelled:
            raise ValueError("the session has been cancelled: open a new one")
        if self._flushed:
            raise ValueError("the text has been flushed: open a new session for more")

    def flush(self) -> None:
        """Mark the text as complete. Further calls have no effect."""
        if not self._flushed:
            self._flushed = True
            self._queue.release()
            self._submit(partial(self._text.end, time.perf_counter()))

    def _submit(self, change: Callable[[], None]) -> None:
        """Change the text stage and let it work; on the text thread."""
        process_text = self._process_text

        def command() -> None:
            change()
            process_text()

        self._engine.submit_text(self._runner, command)

    def cancel(self) -> None:
        """Stop at once, drop the audio that waits, and end the iteration."""
        self._cancelled = self._flushed = True
        self._queue.end(drop=True)
        self._engine.release(self._runner)

    def snapshot(self) -> SessionState:
        """The state of the session, including text not yet said and audio not yet taken.

        Raises:
            ValueError: If the session has been cancelled.
            Exception: The error that ended the session, if there was one.
        """
        if self._cancelled:
            raise ValueError("the session has been cancelled: there is nothing to continue")
        state: Future[SessionState] = Future()
        engine, options, flushed = self._engine, self._options, self._flushed
        text, runner, audio = self._text, self._runner, self._audio

        # The request travels through the stages behind everything that was sent before it.
        def save_text() -> None:
            engine.submit(runner, partial(save_runner, text.save()))

        def save_runner(text_state: TextState) -> None:
            engine.call_after_codec(partial(save_audio, text_state, runner.save()))

        def save_audio(text_state: TextState, runner_state: RunnerState) -> None:
            state.set_result(SessionState(options, flushed, text_state, runner_state, audio.save()))

        engine.submit_text(runner, save_text)
        while True:
            if self._queue.error is not None:
                raise self._queue.error
            if self._queue.closed and not state.done():  # no stage changes any more
                return SessionState(options, flushed, text.save(), runner.save(), audio.save())
            try:
                return state.result(timeout=0.1)
            except TimeoutError:
                continue

    # Out.

    @property
    def stopped(self) -> bool:
        """Whether all has been said and the model ended it by itself; False if it was cut."""
        return self._queue.complete and self._runner.stopped

    def chunks(self) -> Iterator[Chunk]:
        """Audio, with the units it was made of."""
        while (chunk := self._queue.take()) is not None:
            yield chunk

    def __iter__(self) -> Iterator[np.ndarray]:
        """Audio [S] as it is made: float32, or int16 as the options say."""
        for chunk in self.chunks():
            if len(chunk.audio):
                yield self._audio_of(chunk)

    def __aiter__(self) -> Session:
        """Iterate over the audio [S] in asyncio."""
        return self

    async def __anext__(self) -> np.ndarray:
        """The next audio; a task that is cancelled while it waits loses nothing."""
        while (chunk := await self._queue.take_async()) is not None:
            if len(chunk.audio):
                return self._audio_of(chunk)
        raise StopAsyncIteration

    # Marks.

    @property
    def has_marks(self) -> bool:
        """Whether the session tells when its words are said.

        It does if the model's units, or its attention, tell which token is being said, and the
        decoder reads that.
        """
        return self._engine.tracks_text and self._runner.tracks_text

    def marks(
        self, kind: MarkKind = "word", since: int = 0, until_s: float | None = None
    ) -> list[Mark]:
        """The marks of the audio that has been taken, in order.

        Words that are written as one item, such as "$5 million", have one mark. A pause belongs to
        no word. Times count from the beginning of the session's audio.

        Args:
            kind: "word", or "character".
            since: How many marks to leave out, from the first one on.
            until_s: Only of words that end within so many seconds. None: all audio that was taken.

        Returns:
            The marks of words that have ended; none if `has_marks` is False.

        Raises:
            ValueError: For an unknown kind.
        """
        num_samples = self._queue.num_taken
        if until_s is not None:
            num_samples = min(num_samples, round(until_s * self.sample_rate))
        return self._audio.timeline.marks(kind, since, num_samples)

    def heard_text(self, played_s: float) -> str:
        """The text, as it was fed, up to the last word that had begun when so much was played.

        Args:
            played_s: How much of the audio was played, in seconds. Audio that has not been taken
                does not count.

        Returns:
            The text; nothing if `has_marks` is False.
        """
        num_samples = min(round(played_s * self.sample_rate), self._queue.num_taken)
        return self._audio.timeline.heard_text(num_samples)

    def _audio_of(self, chunk: Chunk) -> np.ndarray:
        if self.first_ready_s is None:
            self.first_ready_s = chunk.ready_at_s
        return chunk.audio if self._options.encoding == "float32" else to_int16(chunk.audio)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()

    def __del__(self) -> None:
        # The session was dropped before its end: the engine need not continue.
        if hasattr(self, "_queue") and not self._queue.closed:
            self._engine.drop(self._runner)
