"""What the processes of a run agree on. All of them have to call these, in the same order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list
from torch import Tensor

Decision = TypeVar("Decision")


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
