"""The solution of a flow with ONNX graphs, without PyTorch; see `sled.codec.flow.matching`.

Shapes: R rows, 2 with guidance, M mel bands, F frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


def solve(
    settings: dict[str, Any],
    noise: np.ndarray,
    conditions: Arrays,
    estimate: Callable[[int, Arrays], np.ndarray],
    known: np.ndarray | None = None,
) -> np.ndarray:
    """Follow the velocity from noise to mel frames.

    Args:
        settings: Of the codec: times of the steps, guidance and temperature.
        noise: [1, M, F].
        conditions: [1, ...] further inputs of the estimator.
        estimate: The velocity [R, M, F] in a step, for x [R, M, F], t [R] and the conditions, whose
            second row is zeros.
        known: [M, G] the first frames, which keep to the straight path to these. None: none do.

    Returns:
        [M, F].
    """
    scale, times = settings["guidance"], settings["times"]
    if scale:
        conditions = {name: np.concatenate((one, 0 * one)) for name, one in conditions.items()}
    rows = 2 if scale else 1
    x = np.float32(settings["temperature"]) * noise
    for step, (now, then) in enumerate(zip(times, times[1:], strict=False)):
        if known is not None:
            count = known.shape[1]
            between = (1 - now) * noise[0, :, :count] + now * known
            x[0, :, :count] = between
        time = np.full(rows, now, np.float32)
        velocity = estimate(step, {"x": np.repeat(x, rows, 0), "t": time, **conditions})
        if scale:
            velocity = (1 + scale) * velocity[:1] - scale * velocity[1:]
        x = (x + (then - now) * velocity).astype(np.float32)
    return np.asarray(x[0])
