"""Two threads that serve all sessions: one decodes them as a batch, one runs the codec.

Sessions never touch the decoder. They hand in commands, which the decoding thread carries out
between two steps, so that whoever feeds text does not wait for the model. Frames go to the codec's
thread, and the model writes the next ones meanwhile. Both threads exist only while there are
sessions.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError
from functools import partial
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from sled.codec import Codec
from sled.decoding import Decoder, TextTracker, Utterance
from sled.model.interface import FrameModel
from sled.streaming.codec_thread import CodecJob, CodecThread
from sled.streaming.threads import choose_threads, compute_with

logger = logging.getLogger(__name__)
T = TypeVar("T")

# Of the newest measurement in an average of durations, and by what factor one that is out of the
# ordinary (a prompt was read, the machine had other things to do) may raise it.
NEWEST_WEIGHT, MAX_RISE = 0.1, 2.0
# Commands are carried out for no longer than this between two steps.
MAX_COMMANDS_S = 0.01


class Speaker(Protocol):
    """Who has something spoken. Its methods are called by the engine's threads."""

    done: bool
    """Whether it wants nothing more; set before it is released."""

    def on_frame(self, latent: Tensor, stopped: bool, exhausted: bool) -> None:
        """The next frame [D] of its utterance; if `stopped`, it is not speech any more."""
        ...

    def fail(self, error: BaseException) -> None:
        """Nothing more will come."""
        ...


class Average:
    """A running average of durations in seconds; 0 before the first."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Take in the newest."""
        if self.seconds:
            seconds = min(seconds, MAX_RISE * self.seconds)
            self.seconds += NEWEST_WEIGHT * (seconds - self.seconds)
        else:
            self.seconds = seconds


class Engine:
    """Decodes and makes audible what any number of speakers say at once.

    Args:
        model: In evaluation mode.
        codec: On the same device.
        num_parameters: Of the model, which decide how many threads of the processor a step takes.
        codec_threads: Threads of the processor for the codec. None: half as many as torch has, as
            the model is at work at the same time.

    Attributes:
        decoder: For commands only.
    """

    def __init__(
        self,
        model: FrameModel,
        codec: Codec,
        num_parameters: int,
        codec_threads: int | None = None,
    ) -> None:
        self.model, self.codec = model, codec
        self._num_parameters = num_parameters
        self._most_threads = torch.get_num_threads()
        self._threads = 0  # that the decoding thread computes with
        self._codec_threads = codec_threads or max(1, self._most_threads // 2)
        self._place_keeper: TextTracker | None = None
        if codec.token_channel is not None:
            self._place_keeper = TextTracker(codec.token_channel, model.config)
        self.decoder = self._new_decoder()
        self._utterances: dict[Utterance, Speaker] = {}
        self._speakers: set[Speaker] = set()
        self._commands: deque[tuple[Speaker, Callable[[], None]]] = deque()
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._codec_thread: CodecThread | None = None
        self._closed = False
        self._step_time, self._codec_time = Average(), Average()
        _engines.add(self)

    @property
    def real_time_factor(self) -> float:
        """Time that a frame takes of late, over the time that it plays; 0 before the first."""
        return (self._step_time.seconds + self._codec_time.seconds) * self.codec.frame_rate

    # For sessions: any thread.

    def submit(self, speaker: Speaker, command: Callable[[], None]) -> bool:
        """Have a command carried out between two steps; if it raises, the speaker fails.

        The engine is at a speaker's service from its first command until `release`.

        Returns:
            False if the speaker is done, and the command is not carried out.

        Raises:
            RuntimeError: If the engine has been closed.
        """
        with self._condition:
            if self._closed:
                raise RuntimeError("the engine has been closed: nothing can be said any more")
            if speaker.done:
                return False
            if self._thread is None:
                # A daemon: a session that is left open must not keep the program from ending.
                thread = threading.Thread(target=self._run, name="sled-decoder", daemon=True)
                thread.start()  # waits for the condition
                self._thread = thread
            self._speakers.add(speaker)
            self._commands.append((speaker, command))
            self._condition.notify()
            return True

    def ask(self, speaker: Speaker, question: Callable[[], T]) -> T | None:
        """Have a question answered between two steps, and wait for it; None if it is done."""
        answer: Future[T] = Future()

        def command() -> None:
            try:
                answer.set_result(question())
            except BaseException as error:
                answer.set_exception(error)

        if not self.submit(speaker, command):
            return None
        while True:
            try:
                return answer.result(timeout=1.0)
            except TimeoutError:
                if speaker.done:  # it failed before its question's turn came
                    return None

    def release(self, speaker: Speaker) -> None:
        """Forget a speaker, who is done, and whatever it was still saying."""
        with self._condition:
            self._speakers.discard(speaker)
            if self._thread is not None:
                self._commands.append((speaker, partial(self._hang_up, speaker)))
                self._condition.notify()

    def close(self) -> None:
        """End all sessions and both threads, for good."""
        with self._condition:
            thread, self._closed = self._thread, True
            self._condition.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    # For speakers: the decoding thread.

    def speak(self, speaker: Speaker, utterance: Utterance) -> None:
        """Send a speaker the frames of an utterance that has joined the decoder."""
        self._utterances[utterance] = speaker

    def withdraw(self, utterance: Utterance) -> None:
        """Break off an utterance; its speaker goes on."""
        del self._utterances[utterance]
        self.decoder.leave(utterance)

    def make_audible(self, job: CodecJob) -> None:
        """Have the codec's thread do a job; those of a stream are done in the order they came."""
        assert self._codec_thread is not None
        self._codec_thread.put(job)

    def wait_for_codec(self) -> None:
        """Wait until all jobs so far have been done."""
        assert self._codec_thread is not None
        self._codec_thread.wait()

    # The decoding thread.

    def _run(self) -> None:
        codec_thread = CodecThread(self.codec, self._codec_threads, self._codec_time.add)
        self._codec_thread, self._threads = codec_thread, 0
        try:
            with torch.inference_mode():
                self._serve()
        except BaseException as error:  # whatever it is, nobody must wait for this thread
            logger.exception("the decoding thread failed: all sessions end")
            with self._condition:
                self._start_over(error)
                self._commands.clear()
                self._thread = None
        finally:
            codec_thread.stop()

    def _serve(self) -> None:
        """Carry out commands and step, until there are no sessions any more."""
        idle = False
        while True:
            with self._condition:
                while idle and not self._commands and self._speakers and not self._closed:
                    self._condition.wait()
                if self._closed:
                    self._start_over(RuntimeError("the engine has been closed"))
                if self._closed or not (self._commands or self._speakers):
                    self._thread = None
                    return
            end = time.perf_counter() + MAX_COMMANDS_S
            while self._commands and time.perf_counter() < end:
                self._carry_out(*self._commands.popleft())
            idle = not self._step()

    def _carry_out(self, speaker: Speaker, command: Callable[[], None]) -> None:
        try:
            command()
        except Exception as error:
            self.give_up(speaker, error)

    def _step(self) -> bool:
        """One step of the decoder; returns whether there was anything to do."""
        start = time.perf_counter()
        self._choose_threads()
        try:
            step = self.decoder.step()
        except Exception as error:  # whoever caused it, no state can be trusted any more
            logger.exception("decoding failed: all sessions end")
            self._start_over(error)
            return False
        if step is None:
            return False
        if step.utterances:
            self._step_time.add(time.perf_counter() - start)
        for utterance, latent, stopped, exhausted in zip(
            step.utterances, step.units, step.stopped, step.exhausted, strict=True
        ):
            speaker = self._utterances[utterance]
            if stopped or exhausted:
                del self._utterances[utterance]
            self._carry_out(speaker, partial(speaker.on_frame, latent, stopped, exhausted))
        return True

    def _choose_threads(self) -> None:
        """As many threads of the processor as the next step deserves."""
        num_utterances = len(self.decoder.utterances)
        count = choose_threads(self._num_parameters, num_utterances, self._most_threads)
        if num_utterances and count != self._threads:
            compute_with(count)
            self._threads = count

    def _start_over(self, error: BaseException) -> None:
        """With a new decoder, and without all who had something spoken by the old one."""
        self.decoder = self._new_decoder()
        self._utterances.clear()
        with self._condition:
            for speaker in list(self._speakers):
                self.give_up(speaker, error)

    def _new_decoder(self) -> Decoder:
        return Decoder(self.model, text_tracker=self._place_keeper)

    def _hang_up(self, speaker: Speaker) -> None:
        for utterance in [one for one, who in self._utterances.items() if who is speaker]:
            self.withdraw(utterance)

    def give_up(self, speaker: Speaker, error: BaseException) -> None:
        """End what a speaker says because something went wrong; from any thread."""
        speaker.fail(error)
        self.release(speaker)


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


@atexit.register
def _close_engines() -> None:
    """A thread that computes while the interpreter goes down would crash it."""
    for engine in list(_engines):
        engine.close()
