"""The thread that decodes units to audio for all sessions, while the model draws the next units.

Jobs of one kind are decoded as one batch, since a codec that took them one by one could not follow
many sessions. The jobs of one session are done in order.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from queue import SimpleQueue

import torch

from sled.codec import Codec
from sled.streaming.audio_stage import AudioStage, UnitChunk, decode_together
from sled.streaming.threads import compute_with

# Jobs in one batch. More would delay the first of them, for little gain.
MAX_TOGETHER = 64


@dataclass(eq=False)
class CodecJob:
    """A chunk of units to be decoded.

    Attributes:
        stage: The audio stage that the chunk belongs to.
        chunk: The units.
        fail: Called with an error of this job.
        put_s: When it was queued, by `time.perf_counter`.
        written: On a GPU, the event after which the units can be read.
    """

    stage: AudioStage
    chunk: UnitChunk
    fail: Callable[[Exception], None]
    put_s: float = field(default_factory=time.perf_counter)
    written: torch.cuda.Event | None = None

    def kind(self) -> tuple[object, ...]:
        """Jobs with equal kinds can be one batch."""
        chunk, conditions = self.chunk, tuple(sorted(self.stage.conditions))
        ends = (chunk.ends_segment, chunk.last)
        return (len(chunk.units), ends, conditions, *self.stage.state.kind())


@dataclass(frozen=True)
class CodecCall:
    """How long a batch of jobs took.

    Attributes:
        seconds: How long the codec computed.
        delay_s: From when the first of the jobs was queued to when all of them were done.
        num_sessions: The jobs, each of which is of another session.
        num_frames: The frames of each.
    """

    seconds: float
    delay_s: float
    num_sessions: int
    num_frames: int


@dataclass(frozen=True, eq=False)
class Marker:
    """A point in the order of the jobs.

    Attributes:
        reached: Called when all jobs before it have been done.
        is_end: Whether the thread ends there.
    """

    reached: Callable[[], None]
    is_end: bool = False


@cache
def codec_stream(device: torch.device) -> torch.cuda.Stream:
    """A separate stream of a GPU, so that codecs do not wait for the model.

    There is one for all threads. Torch has 32 streams and gives them out again after that, so a
    stream for each thread would at some time be the one on which a step is captured.
    """
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # untyped in torch


class CodecThread:
    """Does jobs until it is stopped.

    Args:
        codec: The codec.
        threads: CPU threads to compute with.
        on_timed: Called for each batch.

    Attributes:
        is_busy: Whether jobs are being done.
    """

    is_busy = False

    def __init__(self, codec: Codec, threads: int, on_timed: Callable[[CodecCall], None]) -> None:
        self._codec, self._threads, self._on_timed = codec, threads, on_timed
        on_gpu = codec.device.type == "cuda"
        self._cuda_stream = codec_stream(codec.device) if on_gpu else None
        self._queue: SimpleQueue[CodecJob | Marker] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sled-codec", daemon=True)
        self._thread.start()

    # For the decoding thread.

    def put(self, job: CodecJob) -> None:
        """Queue a job."""
        if self._cuda_stream is not None:
            # The model's stream may still be computing the units.
            job.written = torch.cuda.current_stream(self._cuda_stream.device).record_event()
        self._queue.put(job)

    def call_after_jobs(self, call: Callable[[], None]) -> None:
        """Call a function on this thread after the jobs so far."""
        self._queue.put(Marker(call))

    def stop(self) -> None:
        """Finish the jobs so far, and end the thread."""
        self._queue.put(Marker(lambda: None, is_end=True))
        self._thread.join()

    # The thread.

    def _run(self) -> None:
        compute_with(self._threads)
        waiting: list[CodecJob | Marker] = []
        while True:
            if not waiting:
                waiting.append(self._queue.get())
            while not self._queue.empty():
                waiting.append(self._queue.get())
            if isinstance(waiting[0], Marker):
                marker = waiting.pop(0)
                assert isinstance(marker, Marker)
                marker.reached()
                if marker.is_end:
                    return
                continue
            self.is_busy = True
            self._do(take_alike(waiting))
            self.is_busy = bool(waiting)

    def _do(self, jobs: Sequence[CodecJob]) -> None:
        start = time.perf_counter()
        jobs = [job for job in jobs if job.stage.is_wanted]
        if not jobs:
            return
        stages, units = [job.stage for job in jobs], [job.chunk.units for job in jobs]
        try:
            with torch.cuda.stream(self._cuda_stream):  # no effect without a GPU
                for job in jobs:
                    if job.written is not None:
                        job.written.wait()
                first = jobs[0].chunk
                ends = {"ends_segment": first.ends_segment, "last": first.last}
                samples = decode_together(self._codec, stages, units, **ends).cpu()
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].fail(error)
            else:  # only the sessions that cause it are to end
                for job in jobs:
                    self._do([job])
            return
        for job, decoded in zip(jobs, samples, strict=True):
            try:
                job.stage.accept(decoded.clone(), job.chunk)  # a view would keep the whole batch
            except Exception as error:
                job.fail(error)
        if num_frames := len(units[0]):
            now, queued_s = time.perf_counter(), min(job.put_s for job in jobs)
            self._on_timed(CodecCall(now - start, now - queued_s, len(jobs), num_frames))


def take_alike(waiting: list[CodecJob | Marker]) -> list[CodecJob]:
    """Remove the first job from a queue, and others of its kind.

    A job that comes after a marker or after another job of the same session is not taken.
    """
    taken: list[CodecJob] = []
    kind: tuple[object, ...] | None = None
    left: list[CodecJob | Marker] = []
    seen: set[AudioStage] = set()
    before_marker = True
    for one in waiting:
        if isinstance(one, Marker):
            before_marker = False
        elif before_marker and one.stage not in seen and len(taken) < MAX_TOGETHER:
            seen.add(one.stage)
            own = one.kind()
            if kind is None or own == kind:
                kind = own
                taken.append(one)
                continue
        left.append(one)
    waiting[:] = left
    return taken
