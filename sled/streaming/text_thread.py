"""The thread that splits and normalises text for all sessions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class TextThread:
    """Runs tasks in the order they come, until it is stopped.

    A long text is many short tasks, so that sessions take turns. Tasks must not raise.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sled-text", daemon=True)
        self._thread.start()

    def put(self, task: Callable[[], None]) -> None:
        """Queue a task."""
        self._queue.put(task)

    def stop(self) -> None:
        """Finish the tasks so far, and end the thread."""
        self._queue.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while (task := self._queue.get()) is not None:
            task()
