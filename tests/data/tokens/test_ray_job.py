"""Extraction as a job of Ray Data, on a local cluster."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sled.data.tokens.extraction import Compute, extract, on_threads
from sled.data.tokens.folder import read_audio_paths
from sled.data.tokens.ray_job import on_ray
from sled.data.tokens.tables import read_tokens
from tests.commands import run
from tests.data.tokens.corpora import make_folder, name

HAS_RAY = importlib.util.find_spec("ray") is not None
with_ray = pytest.mark.skipif(not HAS_RAY, reason="needs Ray")


def load_sizes() -> Compute:
    """A row that tells the recording: the size of its file."""

    def compute(path: Path) -> np.ndarray:
        if path.stem == name(3):
            raise ValueError("it cannot be used")
        return np.array([path.stat().st_size, 7])

    return compute


@pytest.fixture
def cluster() -> Iterator[None]:
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@with_ray
@pytest.mark.slow
def test_a_cluster_makes_the_table_that_threads_make(cluster: None, tmp_path: Path) -> None:
    recordings = read_audio_paths(make_folder(tmp_path / "data", count=9, tables=False))
    tables = [tmp_path / kind / "table.pt" for kind in ("threads", "ray")]
    executors = (on_threads(load_sizes(), 2), on_ray(load_sizes, 2))
    reports = [
        extract(recordings, execute, table, "model")
        for execute, table in zip(executors, tables, strict=True)
    ]
    assert [report.computed for report in reports] == [8, 8]
    assert reports[0].rejected == reports[1].rejected == {name(3): "it cannot be used"}
    threads, ray = (read_tokens(table) for table in tables)
    assert list(threads) == list(ray) == [one for one in recordings if one != name(3)]
    assert all((threads[one] == ray[one]).all() for one in threads)
    # What is there already is not computed again; what failed is tried.
    assert extract(recordings, executors[1], tables[1], "model").computed == 0


def load_nothing() -> Compute:
    raise ValueError("no model at nowhere: name a file\nand more")


class LocalRay:
    """Does what the job asks of Ray in this process; there is no cluster to connect to."""

    ActorPoolStrategy = staticmethod(lambda size: size)

    def __init__(self) -> None:
        self.data = self
        self.batches: list[dict[str, np.ndarray]] = []

    def is_initialized(self) -> bool:
        return False

    def init(self, address: str | None, **settings: bool) -> None:
        if address is not None:
            raise ConnectionError("there is no cluster\nas far as we see")

    def from_items(self, items: list[dict[str, str]]) -> LocalRay:
        columns = {key: np.array([one[key] for one in items], object) for key in items[0]}
        self.batches = [columns]
        return self

    def map_batches(
        self, worker: Any, fn_constructor_args: tuple[Any], batch_size: int, compute: int
    ) -> LocalRay:
        work = worker(*fn_constructor_args)
        self.batches = [work(batch) for batch in self.batches]
        return self

    def iter_rows(self) -> Iterator[dict[str, Any]]:
        for batch in self.batches:
            for values in zip(*batch.values(), strict=True):
                yield dict(zip(batch, values, strict=True))


def test_a_job_ends_as_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", LocalRay())
    recordings = read_audio_paths(make_folder(tmp_path / "data", count=5, tables=False))
    report = extract(recordings, on_ray(load_sizes, 2), tmp_path / "sizes.pt", "model")
    assert report.computed == 4 and report.rejected == {name(3): "it cannot be used"}
    with pytest.raises(ValueError, match="^no model at nowhere: name a file$"):
        extract(recordings, on_ray(load_nothing, 1), tmp_path / "table.pt", "model")
    with pytest.raises(ValueError, match="can be used at auto: there is no cluster$"):
        extract(recordings, on_ray(load_sizes, 1, "auto"), tmp_path / "table.pt", "model")


@with_ray
@pytest.mark.slow
def test_what_hinders_a_job_is_told_in_a_line(cluster: None, tmp_path: Path) -> None:
    recordings = read_audio_paths(make_folder(tmp_path / "data", count=2, tables=False))
    with pytest.raises(ValueError, match="^no model at nowhere: name a file$"):
        extract(recordings, on_ray(load_nothing, 1), tmp_path / "table.pt", "model")
    with pytest.raises(ValueError, match="0 workers"):
        on_ray(load_sizes, 0)


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray_the_extra_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_folder(tmp_path / "data", count=1, tables=False)
    flags = ("--input", folder, "--encoder", "campplus.onnx", "--ray", "local")
    assert run("cache embeddings", *flags) == 2
    assert "[ray]" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"\[ray\]"):
        on_ray(load_sizes, 1)
