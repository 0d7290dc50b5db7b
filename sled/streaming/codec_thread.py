"""The thread that makes frames audible, for all sessions, while the model writes the next ones.

Jobs that are alike are done together: with many sessions a codec that took them one by one would
not keep up. A session's own jobs are done in the order they came.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

import torch
from torch import Tensor

from sled.codec import Codec
from sled.streaming.audio import AudioStream, decode_together
from sled.streaming.threads import compute_with

# Jobs that are done together; more would keep the first of them waiting, for little gain.
MAX_TOGETHER = 64


@dataclass(eq=False)
class CodecJob:
    """Frames that are to become audio.

    Attributes:
        stream: What they continue.
        latents: [T, D], any number of them.
        last: Whether all that is due comes out after them.
        is_wanted: Whether anybody still waits for it; asked when its turn comes.
        deliver: Called with the samples [S], in the codec's thread.
        fail: Called with what goes wrong.
        written: On a GPU, when the frames will be there.
    """

    stream: AudioStream
    latents: Tensor
    last: bool
    is_wanted: Callable[[], bool]
    deliver: Callable[[Tensor], None]
    fail: Callable[[Exception], None]
    written: torch.cuda.Event | None = None

    def kind(self) -> tuple[object, ...]:
        """Jobs of one kind can be done together."""
        return (len(self.latents), self.last, *self.stream.state.kind())


@dataclass(frozen=True, eq=False)
class Marker:
    """Its event is set once all jobs before it have been done; the last one ends the thread."""

    reached: threading.Event
    is_end: bool = False


class CodecThread:
    """Does jobs until it is stopped.

    Args:
        codec: Decodes.
        threads: Of the processor, to compute with.
        on_timed: Called with the seconds that each of some frames has taken.
    """

    def __init__(self, codec: Codec, threads: int, on_timed: Callable[[float], None]) -> None:
        self._codec, self._threads, self._on_timed = codec, threads, on_timed
        on_gpu = codec.device.type == "cuda"
        # On a GPU of its own account: the codec shall not queue up behind the model.
        self._cuda_stream = torch.cuda.Stream(codec.device) if on_gpu else None
        self._queue: SimpleQueue[CodecJob | Marker] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sled-codec", daemon=True)
        self._thread.start()

    # The decoding thread.

    def put(self, job: CodecJob) -> None:
        """Have a job done."""
        if self._cuda_stream is not None:
            # The frames may still be on their way through the model's stream.
            job.written = torch.cuda.current_stream().record_event()
        self._queue.put(job)

    def wait(self) -> None:
        """Until all jobs so far have been done."""
        marker = Marker(threading.Event())
        self._queue.put(marker)
        marker.reached.wait()

    def stop(self) -> None:
        """Have the jobs done that there are, and end."""
        self._queue.put(Marker(threading.Event(), is_end=True))
        self._thread.join()

    # The codec's thread.

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
                marker.reached.set()
                if marker.is_end:
                    return
                continue
            self._do(take_alike(waiting))

    def _do(self, jobs: Sequence[CodecJob]) -> None:
        start = time.perf_counter()
        jobs = [job for job in jobs if job.is_wanted()]
        if not jobs:
            return
        streams, latents = [job.stream for job in jobs], [job.latents for job in jobs]
        try:
            with torch.cuda.stream(self._cuda_stream):  # nothing, without a GPU
                for job in jobs:
                    if job.written is not None:
                        job.written.wait()
                samples = decode_together(self._codec, streams, latents, last=jobs[0].last).cpu()
        except Exception as error:
            for job in jobs:
                job.fail(error)
            return
        for job, decoded in zip(jobs, samples, strict=True):
            try:
                job.deliver(decoded.clone())  # a view would keep those of all
            except Exception as error:
                job.fail(error)
        if num_frames := len(latents[0]):
            self._on_timed((time.perf_counter() - start) / num_frames)


def take_alike(waiting: list[CodecJob | Marker]) -> list[CodecJob]:
    """Take the first job, and others that can be done with it, out of a queue.

    None that comes after a marker, or after another job of the same stream.
    """
    taken: list[CodecJob] = []
    kind: tuple[object, ...] | None = None
    left: list[CodecJob | Marker] = []
    seen: set[AudioStream] = set()
    open_to_all = True
    for one in waiting:
        if isinstance(one, Marker):
            open_to_all = False
        elif open_to_all and one.stream not in seen and len(taken) < MAX_TOGETHER:
            seen.add(one.stream)
            own = one.kind()
            if kind is None or own == kind:
                kind = own
                taken.append(one)
                continue
        left.append(one)
    waiting[:] = left
    return taken
