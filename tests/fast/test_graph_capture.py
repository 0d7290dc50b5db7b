"""Which memory and which streams captures use, with stand-ins for the parts of torch for GPUs."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import count

import pytest
import torch

from sled.fast.cuda_graph import GraphCapture
from sled.streaming.codec_thread import codec_stream

GPU = torch.device("cuda", 0)
Pool = tuple[int, int]


class Stream:
    def __init__(self, device: torch.device = GPU) -> None:
        self.device = device

    def wait_stream(self, other: object) -> None:
        pass


class Graph:
    own: Pool

    def pool(self) -> Pool:
        return self.own

    def replay(self) -> None:
        pass


@pytest.fixture
def captures(monkeypatch) -> list[tuple[Pool | None, Stream | None]]:
    """The pool that each capture shared, and its stream."""
    asked: list[tuple[Pool | None, Stream | None]] = []
    numbers = count()

    @contextmanager
    def graph(made, pool=None, stream=None, capture_error_mode="global") -> Iterator[None]:
        made.own = pool or (0, next(numbers))
        asked.append((pool, stream))
        yield

    stand_ins = {"graph": graph, "CUDAGraph": Graph, "Stream": Stream, "current_stream": Stream}
    stand_ins |= dict.fromkeys(("stream", "device"), nullcontext)
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return asked


def test_graphs_share_memory_only_with_those_that_exist(captures):
    capture = GraphCapture(GPU)
    replays = [capture(lambda: None) for _ in range(3)]
    del replays[0]
    replays.append(capture(lambda: None))
    replays.clear()  # as when the cache has grown
    gc.collect()
    replays.append(capture(lambda: None))
    assert [pool for pool, _ in captures] == [None, (0, 0), (0, 0), (0, 0), None]


def test_all_captures_use_one_stream_and_all_codecs_another(captures):
    capture = GraphCapture(GPU)
    for _ in range(3):
        capture(lambda: None)
    assert len({stream for _, stream in captures} - {None}) == 1
    codec_stream.cache_clear()
    assert codec_stream(GPU) is codec_stream(GPU)
    codec_stream.cache_clear()
