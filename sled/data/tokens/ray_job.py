"""Extraction as a job of Ray Data, for a corpus that outgrows one machine.

Each worker loads the model once. The folder of the corpus must be visible to all machines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sled.data.tokens.extraction import Compute, Executor, Result, attempt
from sled.files.extras import install_command

# Recordings that a worker is handed at a time.
_BATCH = 16


class _Worker:
    """Computes rows of recordings.

    Args:
        load: Loads the model.
    """

    def __init__(self, load: Callable[[], Compute]) -> None:
        self._failure = ""
        try:
            self._compute = load()
        except Exception as error:
            # If it were raised here, Ray would start workers again and again.
            self._failure = str(error).partition("\n")[0] or type(error).__name__

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        names, paths = (batch[key].tolist() for key in ("name", "path"))
        results = [
            self._failure or attempt(self._compute, name, Path(path))[1]
            for name, path in zip(names, paths, strict=True)
        ]
        # Rows differ in length and, between tables, in type: their bytes are passed on.
        columns: dict[str, list[Any]] = {"name": names, "row": [], "type": [], "reason": []}
        for one in results:
            row = None if isinstance(one, str) else np.asarray(one)
            columns["row"].append(b"" if row is None else row.tobytes())
            columns["type"].append("" if row is None else row.dtype.str)
            columns["reason"].append(one if row is None else "")
        columns["loaded"] = [not self._failure] * len(names)
        return {key: np.array(values, dtype=object) for key, values in columns.items()}


def on_ray(load: Callable[[], Compute], num_workers: int, address: str | None = None) -> Executor:
    """Make an executor that computes on a cluster, in any order.

    Args:
        load: Loads the model; called once in each worker.
        num_workers: Workers; each takes a core.
        address: Of a running cluster, such as "auto". None: a local one, unless there is a
            connection already.

    Raises:
        ValueError: If Ray is not installed, or for no workers. The executor raises it if no cluster
            can be used, or a worker cannot load the model.
    """
    try:
        import ray
    except ImportError as error:
        raise ValueError(f"--ray needs Ray: run {install_command('ray')}") from error
    if num_workers < 1:
        raise ValueError(f"{num_workers} workers can compute nothing: give 1 or more")

    def execute(todo: Mapping[str, Path]) -> Iterator[tuple[str, Result]]:
        if not ray.is_initialized():
            try:
                ray.init(address=address, include_dashboard=False, log_to_driver=False)
            except (Exception, SystemExit) as error:  # it has no class for those of its start
                place = "here" if address is None else f"at {address}"
                reason = str(error).partition("\n")[0]
                raise ValueError(f"no cluster of Ray can be used {place}: {reason}") from error
        items = [{"name": name, "path": str(path.absolute())} for name, path in todo.items()]
        rows = ray.data.from_items(items).map_batches(
            _Worker,
            fn_constructor_args=(load,),
            batch_size=_BATCH,
            compute=ray.data.ActorPoolStrategy(size=num_workers),
        )
        for one in rows.iter_rows():
            if not one["loaded"]:
                raise ValueError(one["reason"])
            row = np.frombuffer(one["row"], one["type"]) if one["type"] else None
            yield one["name"], one["reason"] if row is None else row

    return execute
