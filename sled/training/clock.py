"""The time that a run has trained, for schedules that end after some minutes."""

from __future__ import annotations

import time

import torch


def training_seconds(device: str | torch.device) -> float:
    """Seconds of training since some fixed time; only differences have a meaning.

    On a processor, it is the processor time of each thread, so that a run that is paused, or
    shares its cores, trains as much as one that is not. On other devices it is elapsed time.

    Args:
        device: What the run trains on.
    """
    if torch.device(device).type == "cpu":
        return time.process_time() / torch.get_num_threads()
    return time.monotonic()
