"""Memory: how fast it is read, how much of it a step must read, and the most that was in use."""

from __future__ import annotations

import sys
import time

import torch

from sled.files.without_weights import without_weights
from sled.model.config import Config
from sled.model.lm import SpeechLM

READ_BYTES = 512 * 2**20  # more than any cache
BYTES_PER_WEIGHT = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "int8": 1.0, "int4": 0.5}


def measure_read_rate(rounds: int = 5) -> float:
    """Bytes a second that torch's threads read from memory, the best of several rounds."""
    values = torch.ones(READ_BYTES // 4)
    best = 0.0
    for _ in range(rounds):
        start = time.perf_counter()
        values.sum()
        best = max(best, READ_BYTES / (time.perf_counter() - start))
    return best


def position_bytes(config: Config, precision: str) -> int:
    """Bytes that a position of a row takes in the cache."""
    sizes = config.architecture
    held = 4 if precision == "float32" else 2
    return 2 * sizes.num_hidden_layers * sizes.num_key_value_heads * sizes.head_dim * held


def step_bytes(config: Config, precision: str, rows: int, context: int) -> float:
    """Bytes that writing a frame must read at least: the weights once, and each row's past.

    Args:
        config: Sizes.
        precision: Of the weights; scales of rounded ones are not counted. The past is kept in it
            too, but in no fewer than 16 bits.
        rows: In the step.
        context: Positions that each holds.
    """
    with without_weights():
        model = SpeechLM(config)
    parts = (model.model.layers, model.scoreloss)
    weights = sum(parameter.numel() for part in parts for parameter in part.parameters())
    past = rows * context * position_bytes(config, precision)
    return weights * BYTES_PER_WEIGHT[precision] + past


def peak_memory_mb() -> float | None:
    """The most memory that this process has had so far, in MB of 1e6 bytes; None if not known."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
