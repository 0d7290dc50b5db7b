"""Shows how far a long step is: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import Any, TypeVar

from tqdm import tqdm

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds between two lines.
LINE_S = 30.0


class Progress:
    """The progress of one step, a context manager.

    Args:
        what: What is done.
        total: How many units there are. None: not known.
        unit: What is counted, in the singular.
        initial: Units that were done before.
    """

    def __init__(self, what: str, total: int | None, unit: str, initial: int = 0) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._initial = self._done = initial
        self._bar: Any = tqdm(desc=what, total=total, initial=initial, unit=unit, disable=None)
        self._start = self._line = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count units that are done.

        Args:
            count: How many.
            note: What else is known of the step.
        """
        self._done += count
        if not self._bar.disable:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
        elif (now := time.monotonic()) >= self._line + LINE_S:
            self._line = now
            logger.info("%s", self._describe(note, now - self._start))

    def _describe(self, note: str, elapsed_s: float) -> str:
        of = "" if self._total is None else f" of {self._total}"
        count = f"{self._done}{of} {self._unit}{'es' if self._unit.endswith('ch') else 's'}"
        parts, done = [f"{self._what}: {count}", note], self._done - self._initial
        if self._total is not None and done:
            left_s = elapsed_s / done * max(0, self._total - self._done)
            parts.append(f"{tqdm.format_interval(left_s)} left")
        return ", ".join(filter(None, parts))


def track(items: Iterable[T], what: str, unit: str, total: int | None = None) -> Iterator[T]:
    """Yield items, and show how many are done.

    Args:
        items: The items.
        what: What is done with them.
        unit: What an item is.
        total: How many there are. None: their number, if they have one.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Progress(what, total, unit) as progress:
        for item in items:
            yield item
            progress.advance()
