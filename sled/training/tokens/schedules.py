"""Learning rates of the published trainers, as factors of the highest one.

An update is counted from 0. A factor does not depend on the length of a run, so that a run can be
extended.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

SCHEDULES = ("warmuplr", "NoamHoldAnnealing", "constantlr")


def warmup_factor(update: int, warmup_steps: float) -> float:
    """Rise in a line up to `warmup_steps`, then fall with the root of the number of updates.

    As the Noam schedule (Vaswani et al. 2017, eq. 3), scaled so that it reaches 1. Without a
    warm-up, it falls from the start.
    """
    number = update + 1
    if not warmup_steps:
        return float(number**-0.5)
    return float(warmup_steps**0.5 * min(number**-0.5, number * warmup_steps**-1.5))


def hold_factor(
    update: int, warmup_steps: int, hold_steps: int, max_steps: int, decay_rate: float, least: float
) -> float:
    """Rise in a line, stay, then fall with a power of the number of updates.

    Noam hold annealing (Kim et al. 2022, "Squeezeformer").

    Args:
        update: Number of the update.
        warmup_steps: Updates of the rise, at least 1.
        hold_steps: Updates at the highest rate, after the rise.
        max_steps: Update after which the least rate is used.
        decay_rate: Exponent of the fall.
        least: The least factor.
    """
    if update <= warmup_steps:
        return (update + 1) / (warmup_steps + 1)
    if update < warmup_steps + hold_steps:
        return 1.0
    if update > max_steps:
        return least
    fallen = max(1.0, float(warmup_steps) ** decay_rate)
    fallen /= max(1.0, float(update - hold_steps) ** decay_rate)
    return float(max(fallen, least))


def make_schedule(
    name: str,
    *,
    warmup_steps: int,
    hold_steps: int = 0,
    max_steps: int = 0,
    decay_rate: float = 0.5,
    least: float = 0.0,
) -> Callable[[int], float]:
    """Return the factor of each update of a published schedule.

    Args:
        name: One of `SCHEDULES`.
        warmup_steps: As for `warmup_factor` and `hold_factor`.
        hold_steps: As for `hold_factor`, as are the others.
        max_steps: Only of `NoamHoldAnnealing`.
        decay_rate: Only of `NoamHoldAnnealing`.
        least: Only of `NoamHoldAnnealing`.

    Raises:
        ValueError: If there is no such schedule, or its numbers do not fit.
    """
    if name == "constantlr":
        return lambda update: 1.0
    if name == "warmuplr":
        return partial(warmup_factor, warmup_steps=warmup_steps)
    if name != "NoamHoldAnnealing":
        raise ValueError(f"no learning rate schedule {name!r}: choose {', '.join(SCHEDULES)}")
    if warmup_steps < 1 or max_steps < 1:
        raise ValueError(
            f"{name} needs at least 1 step of warm-up and 1 in all, not {warmup_steps} and "
            f"{max_steps}: set warmup_steps and max_steps"
        )
    return partial(
        hold_factor,
        warmup_steps=warmup_steps,
        hold_steps=hold_steps,
        max_steps=max_steps,
        decay_rate=decay_rate,
        least=least,
    )
