"""Arithmetic operations of a training step, and the rate that the hardware reaches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache

import torch

from sled.model.lm import SpeechLM


def training_flops(model: SpeechLM, lengths: Sequence[int], num_frames: int) -> float:
    """Floating-point operations of a forward and a backward pass over whole sequences.

    The usual count (Kaplan et al. 2020, section 2.1): 6 for each weight of a matrix and each vector
    that it multiplies (4 for a frozen weight, which needs no gradient), plus causal attention.
    Repeated computation by activation checkpointing is not counted.

    Args:
        model: The model.
        lengths: Number of positions of each sequence.
        num_frames: Number of learned frames in all sequences; each is drawn `score_samples` times.
    """
    config = model.config
    sizes = config.architecture
    layers, head = (
        sum((6.0 if p.requires_grad else 4.0) * p.numel() for p in part.parameters())
        for part in (model.model.layers, model.scoreloss)
    )
    attended = sum(length * length / 2 for length in lengths)  # pairs of positions
    width = sizes.num_attention_heads * sizes.head_dim
    return (
        layers * sum(lengths)
        + head * config.objective.score_samples * num_frames
        + 12.0 * sizes.num_hidden_layers * width * attended
    )


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its work. A CPU works synchronously."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@cache
def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """What `measure_matmul_rate` finds, measured once in a process."""
    return measure_matmul_rate(device, dtype)


def measure_matmul_rate(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """Operations per second of large matrix products, the best of several rounds.

    It is what the hardware reaches, which is less than its data sheet states.
    """
    # Some processors take seconds for a large product in bfloat16.
    size, repeats = (8192, 3) if device.type == "cuda" else (512, 1)
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best, end = 0.0, time.perf_counter() + seconds
    torch.mm(a, b)  # the first product includes one-time set-up
    while not best or time.perf_counter() < end:
        synchronize(device)
        start = time.perf_counter()
        for _ in range(repeats):
            torch.mm(a, b)
        synchronize(device)
        best = max(best, repeats * 2 * size**3 / (time.perf_counter() - start))
    return best
