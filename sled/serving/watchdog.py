"""Ends a process that is stuck, so that whoever started it can start it again.

It also gives freed memory back when nobody speaks any more.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from sled.files.allocator import return_memory
from sled.serving.server import Server

logger = logging.getLogger(__name__)

# A step of the engine, or of the event loop, that lasts longer will not end.
STUCK_S = 30.0
# The exit status of a process that was stuck (EX_SOFTWARE).
STATUS = 70
LOOK_S = 1.0


def _exit() -> None:
    logging.shutdown()
    os._exit(STATUS)  # threads that are stuck would keep the process


class Watchdog:
    """Watches the engine and the event loop from a thread of its own.

    Args:
        server: The server.
        end: Ends the process.
    """

    def __init__(self, server: Server, end: Callable[[], None] = _exit) -> None:
        self._server, self._end = server, end
        self._ticked_s = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sled-watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()
        self._thread.join()

    def tick(self) -> None:
        """Note that the event loop turns."""
        self._ticked_s = time.monotonic()

    def reason(self) -> str | None:
        """Why the process has to end; None if all is well."""
        if self._server.step_running_s > STUCK_S:
            return f"a step of the engine has run for over {STUCK_S:.0f} s"
        if time.monotonic() - self._ticked_s > STUCK_S:
            return f"the event loop has not turned for over {STUCK_S:.0f} s"
        return None

    def _watch(self) -> None:
        somebody_spoke = False
        while not self._stopped.wait(LOOK_S):
            if somebody_spoke and not self._server.active:
                return_memory()
            somebody_spoke = self._server.active > 0
            if reason := self.reason():
                logger.critical(
                    "%s, with %d sessions: the process ends", reason, self._server.active
                )
                self._end()
                return
