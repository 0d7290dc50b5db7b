"""A folder to which other processes may write, so that it is read again when it has changed."""

from __future__ import annotations

import time
from pathlib import Path

# File systems tell the time of a change at least this finely. Two changes within it may look alike.
RESOLUTION_NS = 2_000_000_000


class WatchedFolder:
    """Tells when files have come to a folder, or gone from it.

    Args:
        path: The folder. It may appear later.

    Attributes:
        path: See above.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._changed_ns: int | None = None

    def has_changed(self) -> bool:
        """Whether the folder may have changed since the last call; True at the first one."""
        try:
            changed_ns = self.path.stat().st_mtime_ns
        except OSError:
            changed_ns = 0
        same = changed_ns == self._changed_ns
        is_settled = time.time_ns() - changed_ns > RESOLUTION_NS
        self._changed_ns = changed_ns if is_settled else None
        return not same
