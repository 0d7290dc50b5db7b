"""What the processes of a run agree on. All of them have to call these, in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeVar

from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list
from torch import Tensor

Decision = TypeVar("Decision")
Batch = TypeVar("Batch")

NO_BATCH = (
    "an epoch has no batch on some process: name more data, or use fewer processes (the log tells "
    "what was left out)"
)


def decided_by_first(decide: Callable[[], Decision]) -> Decision:
    """Let the first process decide for all, because what they see may differ.

    For example, a file system may show a new file to one machine later than to another.

    Args:
        decide: Called on the first process only; its result has to be picklable.

    Raises:
        ValueError: If `decide` raises it; on all processes.
        OSError: Likewise.
    """
    decided: list[Any] = [None, None]
    if PartialState().is_main_process:
        try:
            decided[0] = decide()
        except (ValueError, OSError) as error:
            decided[1] = error
    broadcast_object_list(decided)
    if decided[1] is not None:
        raise decided[1]
    result: Decision = decided[0]
    return result


def take_group(
    batches: Iterator[Any],
    count: int,
    take: Callable[[Any], Batch],
    least: Callable[[int], int],
) -> list[Batch]:
    """Take the batches of a step; none when any process has none left: the epoch ends for all.

    Args:
        batches: The batches of this process that are left.
        count: How many a step has; there may be fewer at the end of an epoch.
        take: Makes what the model learns from of a batch, and checks it.
        least: Returns the least of the numbers of all processes.

    Raises:
        ValueError: If the data of any process cannot be used; on all processes.
        OSError: If those of this process cannot be read; then a ValueError on the others.
    """
    group: list[Batch] = []
    problem: Exception | None = None
    try:
        group = [take(batch) for batch in islice(batches, count)]
    except (ValueError, OSError, RuntimeError) as error:
        problem = error
    fewest = least(len(group) if problem is None else -1)
    if problem is not None:
        raise problem
    if fewest < 0:
        raise ValueError("another process could not use its data: see what it says")
    return group if fewest else []


def sum_over_processes(totals: Tensor, accelerator: Accelerator) -> Tensor:
    """Add up what each process has counted.

    Args:
        totals: Own totals, on the CPU: some devices have no float64.
        accelerator: That of the run.

    Returns:
        The sums, on the CPU.
    """
    if accelerator.num_processes == 1:
        return totals
    sums: Tensor = accelerator.reduce(totals.to(accelerator.device), "sum")
    return sums.cpu()
