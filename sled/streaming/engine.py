"""Runs the stages of all sessions on three threads: text, decoding and codec.

Callers never touch the decoder. They submit commands, which the decoding thread carries out between
two steps, so callers that feed text do not wait for the model. All of the model's work is done on
that thread. Units go to the codec thread while the model draws the next ones. The threads exist
only while there are sessions.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import TypeVar

import torch

from sled.codec import Codec
from sled.decoding import Decoder, Step, Utterance, make_tracker
from sled.model.interface import FrameModel
from sled.streaming.audio_stage import AudioStage, UnitChunk
from sled.streaming.codec_thread import CodecCall, CodecJob, CodecThread
from sled.streaming.consumer import Consumer, Task
from sled.streaming.lead import LeadPolicy
from sled.streaming.pace import Pace
from sled.streaming.text_thread import TextThread
from sled.streaming.threads import choose_threads, compute_with

logger = logging.getLogger(__name__)
T = TypeVar("T")

# While there is nothing to do, dropped sessions are looked for this often.
LOOK_EVERY_S = 1.0
# Commands between two steps take no longer than this.
MAX_COMMANDS_S = 0.01


class Engine:
    """Decodes any number of sessions as one batch.

    Args:
        model: The model, in evaluation mode.
        codec: The codec, on the same device.
        num_parameters: Number of parameters of the model; decides how many CPU threads a step uses.
        codec_threads: CPU threads of the codec. None: half as many as torch has, since the model
            computes at the same time.

    Attributes:
        model: See above.
        codec: See above.
        decoder: Used on the decoding thread only.
        pace: How fast the threads recently were.
        tracks_text: Whether the decoder can track which token is being said.
        busy_s: How long the decoder has computed so far, in seconds.
        on_step: Called on the decoding thread after each step with utterances: how many there were,
            and how long it took, in seconds. It must not raise.
        on_decoded: Called on the codec thread after each batch: how long it took, in seconds.
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
        self._threads = 0  # CPU threads that the decoding thread computes with
        self._codec_threads = codec_threads or max(1, self._most_threads // 2)
        self._text_tracker = make_tracker(codec.token_channel, model)
        self.tracks_text = self._text_tracker is not None
        self.decoder = self._new_decoder()
        self.busy_s = 0.0
        self.on_step: Callable[[int, float], None] | None = None
        self.on_decoded: Callable[[float], None] | None = None
        self._utterances: dict[Utterance, Consumer] = {}
        self._consumers: set[Consumer] = set()
        self._commands: deque[tuple[Consumer, Callable[[], None]]] = deque()
        self._dropped: deque[Consumer] = deque()
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ending: threading.Thread | None = None  # takes no work any more, but still runs
        self._codec_thread: CodecThread | None = None
        self._text_thread: TextThread | None = None
        self._closed = False
        self._has_failed = False  # the decoder is replaced before it is used again
        self.pace = Pace(codec.frame_rate)
        self._lead_policy: LeadPolicy[Utterance] = LeadPolicy()
        self._turn_began_s: float | None = None  # None: the decoding thread waits, or is not there
        _engines.add(self)

    @property
    def step_running_s(self) -> float:
        """For how long the decoding thread has been in one step; a long time means it is stuck."""
        began_s = self._turn_began_s
        return 0.0 if began_s is None else time.perf_counter() - began_s

    # For any thread.

    def submit(self, consumer: Consumer, command: Callable[[], None]) -> bool:
        """Run a command on the decoding thread, between two steps. If it raises, `fail` is called.

        Returns:
            False if the consumer is closed; then the command is not run.

        Raises:
            RuntimeError: If the engine is closed.
        """
        with self._condition:
            if not self._serve_consumer(consumer):
                return False
            self._commands.append((consumer, command))
            self._condition.notify()
            return True

    def submit_text(self, consumer: Consumer, command: Callable[[], None]) -> bool:
        """Run a command on the text thread; otherwise as `submit`."""
        with self._condition:
            if not self._serve_consumer(consumer):
                return False
            assert self._text_thread is not None
            self._text_thread.put(partial(self._carry_out, consumer, command))
            return True

    def _serve_consumer(self, consumer: Consumer) -> bool:
        """Add a consumer and start the threads, unless it is closed."""
        if self._closed:
            raise RuntimeError("the engine is closed: nothing can be said any more")
        if consumer.closed:
            return False
        if self._thread is None:
            self._text_thread = TextThread()
            self._codec_thread = CodecThread(self.codec, self._codec_threads, self._on_decoded)
            # A daemon: a session that is left open must not keep the program from ending.
            self._thread = threading.Thread(
                target=self._run,
                args=(self._text_thread, self._codec_thread),
                name="sled-decoder",
                daemon=True,
            )
            self._thread.start()  # waits for the condition
        self._consumers.add(consumer)
        return True

    def run(self, steps: Generator[None, None, T]) -> T:
        """Do work on the decoding thread, in parts between steps, and wait for the result.

        Args:
            steps: Does a part of the work for each `next`, and returns the result.

        Raises:
            RuntimeError: If the engine is closed.
            Exception: Whatever the work raises.
        """
        task = Task(steps)

        def advance() -> None:
            task.advance()
            if task.closed:
                self.release(task)
            else:
                self.submit(task, advance)

        self.submit(task, advance)
        return task.result.result()

    def release(self, consumer: Consumer) -> None:
        """Forget a consumer that is closed, and its utterance."""
        with self._condition:
            self._consumers.discard(consumer)
            if self._thread is not None:
                self._commands.append((consumer, partial(self._break_off_all, consumer)))
                self._condition.notify()

    def drop(self, consumer: Consumer) -> None:
        """End a consumer that nobody uses any more, some time later.

        The garbage collector calls this, in any thread, which may hold any lock or be waited for by
        a thread that holds one. So it waits for no lock.
        """
        self._dropped.append(consumer)
        if self._condition.acquire(blocking=False):
            self._condition.notify()
            self._condition.release()

    def give_up(self, consumer: Consumer, error: BaseException) -> None:
        """End a consumer with an error."""
        consumer.fail(error)
        self.release(consumer)

    def close(self) -> None:
        """End all sessions and the threads, for good."""
        with self._condition:
            threads, self._closed = (self._ending, self._thread), True
            self._condition.notify()
        for thread in threads:
            if thread is not None and thread is not threading.current_thread():
                thread.join()

    # For consumers, on the decoding thread.

    def expect_frames(self, consumer: Consumer, utterance: Utterance) -> None:
        """Send a consumer the frames of an utterance that has joined the decoder."""
        self._utterances[utterance] = consumer

    def break_off(self, utterance: Utterance) -> None:
        """Remove an utterance; its consumer continues."""
        del self._utterances[utterance]
        self.decoder.leave(utterance)

    def decode_audio(self, consumer: Consumer, stage: AudioStage, chunk: UnitChunk) -> None:
        """Decode a chunk of units on the codec thread; the chunks of a stage stay in order."""
        assert self._codec_thread is not None
        fail = partial(self.give_up, consumer)
        self._codec_thread.put(CodecJob(stage, chunk, fail))

    def call_after_codec(self, call: Callable[[], None]) -> None:
        """Call a function on the codec thread after all chunks so far. It must not raise."""
        assert self._codec_thread is not None
        self._codec_thread.call_after_jobs(call)

    # The decoding thread.

    def _run(self, text_thread: TextThread, codec_thread: CodecThread) -> None:
        self._threads = 0
        try:
            with torch.inference_mode():
                if self._has_failed:
                    self.decoder, self._has_failed = self._new_decoder(), False
                self._serve()
        # Any error must end the consumers, which wait for this thread.
        except BaseException as error:
            logger.exception("the decoding thread failed: all sessions end")
            self._turn_began_s = None
            with self._condition:
                self._has_failed = True
                self._end_consumers(error)
                self._commands.clear()
                self._leave()
        finally:
            text_thread.stop()
            codec_thread.stop()

    def _serve(self) -> None:
        """Carry out commands and decode, until there are no consumers."""
        idle = False
        while True:
            with self._condition:
                self._turn_began_s = None
                while idle and self._consumers and not self._has_calls:
                    self._condition.wait(LOOK_EVERY_S)
                if self._closed:
                    self._end_consumers(RuntimeError("the engine is closed"))
                    self.decoder = self._new_decoder()
                if self._closed or not (self._commands or self._consumers):
                    self._leave()
                    return
            self._end_dropped()
            began_s = self._turn_began_s = time.perf_counter()
            while self._commands and time.perf_counter() < began_s + MAX_COMMANDS_S:
                self._carry_out(*self._commands.popleft())
            step = self._step()
            idle = step is None
            if step is not None and step.utterances:
                self.pace.add_step(len(step.utterances), time.perf_counter() - began_s)

    def _leave(self) -> None:
        """Take no more work on this thread: the next consumer starts another one."""
        self._ending, self._thread = self._thread, None

    @property
    def _has_calls(self) -> bool:
        return bool(self._commands or self._dropped or self._closed)

    def _end_dropped(self) -> None:
        while self._dropped:
            self.give_up(self._dropped.popleft(), RuntimeError("the session was dropped"))

    def _carry_out(self, consumer: Consumer, command: Callable[[], None]) -> None:
        try:
            command()
        except Exception as error:
            self.give_up(consumer, error)

    def _step(self) -> Step | None:
        """One step of the decoder; None if there was nothing to do."""
        self._let_rest()
        start = time.perf_counter()
        self._choose_threads()
        try:
            step = self.decoder.step()
            if step is None and self._lead_policy.anybody_rests:
                self._wake_all()
                step = self.decoder.step()
        except Exception as error:
            logger.exception("a step of the decoder failed")
            return self._recover(error)
        if step is None:
            return None
        elapsed_s = time.perf_counter() - start
        self.busy_s += elapsed_s
        if step.utterances and self.on_step is not None:
            self.on_step(len(step.utterances), elapsed_s)
        self._deliver(step)
        return step

    def _let_rest(self) -> None:
        """If it is time to, choose the sessions that rest while others are short of audio."""
        now_s, policy = time.perf_counter(), self._lead_policy
        if len(self._utterances) < 2 and not policy.anybody_rests:
            return
        if policy.is_due(now_s):
            leads = {
                utterance: consumer.lead_s(now_s)
                for utterance, consumer in self._utterances.items()
                if not (utterance.waits_for_text or utterance.paused)
            }
            resting = policy.decide(leads, now_s)
            for utterance in self._utterances:
                if utterance.resting != (utterance in resting):
                    self.decoder.rest(utterance, not utterance.resting)

    def _wake_all(self) -> None:
        """Let nobody rest, since those who are short of audio wait for text."""
        self._lead_policy.decide({}, time.perf_counter())
        for utterance in self._utterances:
            self.decoder.rest(utterance, False)

    def _deliver(self, step: Step) -> None:
        """Send the frames of a step to their consumers."""
        for utterance, unit, stopped, exhausted in zip(
            step.utterances, step.units, step.stopped, step.exhausted, strict=True
        ):
            consumer = self._utterances[utterance]
            if stopped or exhausted:
                del self._utterances[utterance]
            self._carry_out(consumer, partial(consumer.on_frame, unit, stopped, exhausted))

    def _recover(self, error: Exception) -> Step:
        """End the sessions whose utterances cannot be decoded; the others continue.

        Returns:
            A step without frames: those of the others have been delivered.
        """
        steps, failed = self.decoder.recover()
        for utterance in failed:
            self.give_up(self._utterances.pop(utterance), error)
        for step in steps:
            self._deliver(step)
        return Step([], torch.empty(0), [], [])

    def _on_decoded(self, call: CodecCall) -> None:
        self.pace.add_codec_call(call)
        if self.on_decoded is not None:
            self.on_decoded(call.seconds)

    def _choose_threads(self) -> None:
        """Set the number of CPU threads for the next step: at most those that the codec leaves."""
        num_utterances = len(self.decoder.utterances)
        left = self._most_threads
        if self._codec_thread is not None and self._codec_thread.is_busy:
            left = max(1, left - self._codec_threads)
        count = min(left, choose_threads(self._num_parameters, num_utterances, self._most_threads))
        if num_utterances and count != self._threads:
            compute_with(count, self._most_threads)
            self._threads = count

    def _end_consumers(self, error: BaseException) -> None:
        """End all consumers with an error."""
        self._utterances.clear()
        with self._condition:
            for consumer in list(self._consumers):
                self.give_up(consumer, error)

    def _new_decoder(self) -> Decoder:
        return Decoder(self.model, text_tracker=self._text_tracker)

    def _break_off_all(self, consumer: Consumer) -> None:
        for utterance in [one for one, owner in self._utterances.items() if owner is consumer]:
            self.break_off(utterance)


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


@atexit.register
def _close_engines() -> None:
    """A thread that computes while the interpreter shuts down would crash it."""
    for engine in list(_engines):
        engine.close()
