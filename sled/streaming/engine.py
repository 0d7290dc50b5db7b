"""Two threads that serve all sessions: one decodes them as a batch, one runs the codec.

Sessions never touch the decoder. They hand in commands, which the decoding thread carries out
between two steps, so that whoever feeds text does not wait for the model. Frames go to the codec's
thread, and the model writes the next ones meanwhile. Both threads exist only while there is
something to speak.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from sled.codec import Codec
from sled.decoding import Decoder, Utterance
from sled.model import SpeechLlamaForCausalLM

logger = logging.getLogger(__name__)
T = TypeVar("T")

# Of the newest step in the average of steps' durations.
SPEED_WEIGHT = 0.1


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


class Engine:
    """Decodes and makes audible what any number of speakers say at once.

    Args:
        model: In evaluation mode.
        codec: On the same device.

    Attributes:
        decoder: For commands only.
    """

    def __init__(self, model: SpeechLlamaForCausalLM, codec: Codec) -> None:
        self.model, self.codec = model, codec
        self.decoder = Decoder(model)
        self._utterances: dict[Utterance, Speaker] = {}
        self._speakers: set[Speaker] = set()
        self._commands: deque[tuple[Speaker, Callable[[], None]]] = deque()
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._step_s = 0.0
        on_gpu = model.device.type == "cuda"
        # On a GPU of its own account: the codec shall not queue up behind the model.
        self._codec_stream = torch.cuda.Stream(model.device) if on_gpu else None
        _engines.add(self)

    @property
    def real_time_factor(self) -> float:
        """Time that steps take of late, over the time that a frame plays; 0 before the first."""
        return self._step_s * self.codec.frame_rate

    # For sessions: any thread.

    def submit(self, speaker: Speaker, command: Callable[[], None]) -> bool:
        """Have a command carried out between two steps; if it raises, the speaker fails.

        The engine is at a speaker's service from its first command until `release`.

        Returns:
            False if the speaker is done, and the command is not carried out.
        """
        with self._condition:
            if speaker.done:
                return False
            self._speakers.add(speaker)
            self._commands.append((speaker, command))
            if self._thread is None:
                # A daemon: a session that is left open must not keep the program from ending.
                self._thread = threading.Thread(target=self._run, name="sled-decoder", daemon=True)
                self._thread.start()
            self._condition.notify()
            return True

    def ask(self, speaker: Speaker, question: Callable[[], T]) -> T:
        """Have a question answered between two steps, and wait for it.

        Raises:
            RuntimeError: If the speaker is done.
        """
        answer: Future[T] = Future()

        def command() -> None:
            try:
                answer.set_result(question())
            except BaseException as error:
                answer.set_exception(error)

        if not self.submit(speaker, command):
            raise RuntimeError("the session has ended")
        return answer.result()

    def release(self, speaker: Speaker) -> None:
        """Forget a speaker, who is done, and whatever it was still saying."""
        with self._condition:
            self._speakers.discard(speaker)
            if self._thread is not None:
                self._commands.append((speaker, lambda: self._hang_up(speaker)))
                self._condition.notify()

    def close(self) -> None:
        """End all sessions and both threads."""
        with self._condition:
            thread, self._closing = self._thread, True
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

    def make_audible(self, speaker: Speaker, job: Callable[[], None]) -> None:
        """Have the codec's thread do something; jobs are done in the order they came."""

        def run() -> None:
            try:
                with torch.cuda.stream(self._codec_stream):  # nothing, without a GPU
                    job()
            except Exception as error:
                self._give_up(speaker, error)

        self._codec_thread.submit(run)

    def wait_for_codec(self) -> None:
        """Wait until all jobs so far have been done."""
        self._codec_thread.submit(lambda: None).result()

    # The decoding thread.

    @torch.inference_mode()
    def _run(self) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="sled-codec") as self._codec_thread:
            idle = False
            while True:
                with self._condition:
                    while idle and not self._commands and self._speakers and not self._closing:
                        self._condition.wait()
                    if self._closing or not (self._commands or self._speakers):
                        self._thread = None
                        break
                    commands = list(self._commands)
                    self._commands.clear()
                for speaker, command in commands:
                    self._carry_out(speaker, command)
                idle = not self._step()
        if self._closing:
            for speaker in list(self._speakers):
                speaker.fail(RuntimeError("the program is ending"))

    def _carry_out(self, speaker: Speaker, command: Callable[[], None]) -> None:
        try:
            command()
        except Exception as error:
            self._give_up(speaker, error)

    def _step(self) -> bool:
        """One step of the decoder; returns whether anything was there to be written."""
        start = time.perf_counter()
        try:
            step = self.decoder.step()
        except Exception as error:  # whoever caused it, no state can be trusted any more
            logger.exception("decoding failed: all sessions end")
            self.decoder = Decoder(self.model)
            self._utterances.clear()
            for speaker in list(self._speakers):
                self._give_up(speaker, error)
            return False
        if step is None:
            return False
        elapsed_s = time.perf_counter() - start
        self._step_s += (elapsed_s - self._step_s) * (SPEED_WEIGHT if self._step_s else 1.0)
        for utterance, latent, stopped, exhausted in zip(
            step.utterances, step.latents, step.stopped, step.exhausted, strict=True
        ):
            speaker = self._utterances[utterance]
            if stopped or exhausted:
                del self._utterances[utterance]
            self._carry_out(speaker, partial(speaker.on_frame, latent, stopped, exhausted))
        return True

    def _hang_up(self, speaker: Speaker) -> None:
        for utterance in [one for one, who in self._utterances.items() if who is speaker]:
            self.withdraw(utterance)

    def _give_up(self, speaker: Speaker, error: BaseException) -> None:
        speaker.fail(error)
        self.release(speaker)


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


@atexit.register
def _close_engines() -> None:
    """A thread that computes while the interpreter goes down would crash it."""
    for engine in list(_engines):
        engine.close()
