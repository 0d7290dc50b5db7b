"""The codec thread: streams decoded in one batch give the audio that each gives alone."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sled.streaming import codec_thread
from sled.streaming.audio_queue import AudioQueue
from sled.streaming.audio_stage import AudioStage, UnitChunk, decode_together
from sled.streaming.codec_thread import MAX_TOGETHER, CodecJob, CodecThread, Marker, take_alike
from tests.debug import debug_codec, randn

WIDTH = 32


class Listener:
    """The audio stage of a session, its units, and the audio that it delivers."""

    def __init__(self, seed: int, pieces: tuple[int, ...], wanted: bool = True) -> None:
        self.queue = AudioQueue()
        self.stage = AudioStage(debug_codec(), self.queue, lambda: None)
        self.units = randn(sum(pieces), WIDTH, seed=seed)
        self.pieces = pieces
        self.errors: list[Exception] = []
        if not wanted:
            self.queue.end()

    def jobs(self) -> list[CodecJob]:
        cut = self.units.split(self.pieces)
        return [self._job(units, number == len(cut) - 1) for number, units in enumerate(cut)]

    def _job(self, units: torch.Tensor, last: bool) -> CodecJob:
        return CodecJob(self.stage, UnitChunk(units, 0, last), self.errors.append)

    @property
    def heard(self) -> list[np.ndarray]:
        return [chunk.audio for chunk in self.queue.waiting()]

    def expected(self) -> np.ndarray:
        return debug_codec().decode(self.units[None])[0].numpy()


def run_all(jobs: list[CodecJob]) -> list[float]:
    """Run jobs that are all queued before the thread starts; returns the times that it reports."""
    times: list[float] = []
    thread, go = (
        CodecThread(debug_codec(), 1, lambda call: times.append(call.seconds)),
        threading.Event(),
    )
    thread.call_after_jobs(lambda: go.wait() and None)
    for job in jobs:
        thread.put(job)
    go.set()
    thread.stop()
    return times


def in_turns(listeners: list[Listener]) -> list[CodecJob]:
    """The first job of each, then the second of each, and so on."""
    rounds = max(len(one.pieces) for one in listeners)
    jobs = [one.jobs() for one in listeners]
    return [own[turn] for turn in range(rounds) for own in jobs if turn < len(own)]


@pytest.mark.parametrize(
    "pieces",
    [
        [(8, 4, 4)] * 3,
        [
            (8, 4, 4),
            (1, 2, 3, 10),
            (8, 4, 1),
            (20,),
            (3,),
        ],  # the last is shorter than the delay of the codec
        [(4, 0)] * 2 + [(8, 0)],
    ],
)
def test_streams_decoded_together_give_the_audio_that_each_gives_alone(pieces):
    listeners = [Listener(seed, own) for seed, own in enumerate(pieces)]
    run_all(in_turns(listeners))
    for one in listeners:
        assert one.errors == []
        np.testing.assert_allclose(np.concatenate(one.heard), one.expected(), rtol=0, atol=1e-5)


def test_jobs_of_the_same_size_are_decoded_in_one_batch():
    """One time is reported for each batch: three for three jobs of each of five streams."""
    listeners = [Listener(seed, (8, 4, 4)) for seed in range(5)]
    assert len(run_all(in_turns(listeners))) == 3


def test_an_error_in_one_stream_does_not_end_the_others():
    good, bad = Listener(0, (8, 4)), Listener(1, (8, 4))
    bad.units[9] = torch.nan
    run_all(in_turns([good, bad]))
    (error,) = bad.errors
    assert "not finite" in str(error) and good.errors == []
    np.testing.assert_allclose(np.concatenate(good.heard), good.expected(), rtol=0, atol=1e-5)


def test_an_error_of_the_codec_on_one_stream_does_not_end_the_others(monkeypatch):
    """They are decoded in one batch."""
    good, bad, other = (Listener(seed, (8, 4)) for seed in range(3))

    def decode(codec, stages, *rest, **ends):
        if bad.stage in stages:
            raise RuntimeError("broken")
        return decode_together(codec, stages, *rest, **ends)

    monkeypatch.setattr(codec_thread, "decode_together", decode)
    run_all(in_turns([good, bad, other]))
    assert {str(error) for error in bad.errors} == {"broken"}
    for one in (good, other):
        assert one.errors == []
        np.testing.assert_allclose(np.concatenate(one.heard), one.expected(), rtol=0, atol=1e-5)


def test_jobs_of_a_closed_session_are_skipped():
    listeners = [Listener(0, (8, 4)), Listener(1, (8, 4), wanted=False)]
    run_all(in_turns(listeners))
    assert listeners[0].heard and not listeners[1].heard


@given(st.lists(st.integers(-1, 3), max_size=40))
def test_no_job_overtakes_its_own_stream_or_a_marker(order):
    """Numbers are streams, -1 is a marker."""
    stages = [AudioStage(debug_codec(), AudioQueue(), lambda: None) for _ in range(4)]
    waiting: list[CodecJob | Marker] = [
        Marker(lambda: None)
        if number < 0
        else CodecJob(stages[number], UnitChunk(randn(2, WIDTH), 0), print)
        for number in order
    ]
    all_of_them, done = list(waiting), []
    while waiting:
        if isinstance(waiting[0], Marker):
            done.append(waiting.pop(0))
            continue
        taken = take_alike(waiting)
        assert 1 <= len(taken) <= MAX_TOGETHER
        assert len({one.stage for one in taken}) == len(taken)
        done += taken
    assert len(done) == len(all_of_them)

    def without_others(jobs: list, number: int) -> list:
        kept = (Marker, CodecJob)
        return [
            one
            for one in jobs
            if isinstance(one, kept) and getattr(one, "stage", stages[number]) is stages[number]
        ]

    for number in range(4):
        assert without_others(done, number) == without_others(all_of_them, number)
