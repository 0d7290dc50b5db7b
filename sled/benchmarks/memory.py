"""Memory: its read rate, the bytes that a step must read, and the peak of the process."""

from __future__ import annotations

import sys
import time

import torch

from sled.fast.native import can_run
from sled.fast.precision import ROUNDED
from sled.files.without_weights import without_weights
from sled.model.config import Config
from sled.model.lm import SpeechLM

READ_BYTES = 512 * 2**20  # more than any cache
SCALE_BYTES = 4
BYTES_PER_WEIGHT = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "int8": 1.0, "int4": 0.5}


def measure_read_rate(rounds: int = 5) -> float:
    """Return the bytes per second that torch's threads read from memory; the best round."""
    values = torch.ones(READ_BYTES // 4)
    best = 0.0
    for _ in range(rounds):
        start = time.perf_counter()
        values.sum()
        best = max(best, READ_BYTES / (time.perf_counter() - start))
    return best


def position_bytes(config: Config, precision: str) -> int:
    """Return the bytes of a position of a row in the cache.

    float32 keeps keys and values in float32; int8 and int4 in bytes with a scale for each head, if
    the kernels run them; all others in 16 bits.
    """
    sizes = config.architecture
    held = (4 if precision == "float32" else 2) * sizes.head_dim
    if precision in ROUNDED and can_run(sizes):
        held = sizes.head_dim + SCALE_BYTES
    return 2 * sizes.num_hidden_layers * sizes.num_key_value_heads * held


def step_bytes(config: Config, precision: str, rows: int, context: int) -> float:
    """Return the bytes that a step must read: the weights once, and the cache of each row.

    Args:
        config: Sizes.
        precision: Precision of the weights, without the scales of rounded ones.
        rows: Number of rows.
        context: Number of positions of each row.
    """
    with without_weights():
        model = SpeechLM(config)
    layers, head = (
        sum(parameter.numel() for parameter in part.parameters())
        for part in (model.model.layers, model.scoreloss)
    )
    of_head = "int8" if precision == "int4" else precision  # which only has the layers in int4
    weights = layers * BYTES_PER_WEIGHT[precision] + head * BYTES_PER_WEIGHT[of_head]
    return weights + rows * context * position_bytes(config, precision)


def peak_memory_mb() -> float | None:
    """Return the peak memory of this process in MB (1e6 bytes); None if it is unknown."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
