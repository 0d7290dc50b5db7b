"""How many threads of the processor a thread of the program computes with."""

from __future__ import annotations

import threading

import torch


def compute_with(count: int) -> None:
    """Let the calling thread compute with so many threads; all others go on as they were.

    Args:
        count: For operators of torch.
    """
    usual = torch.get_num_threads()
    torch.set_num_threads(count)
    # That also holds for threads that have yet to begin. Said once more by one of those, it holds
    # for them alone.
    other = threading.Thread(target=torch.set_num_threads, args=(usual,))
    other.start()
    other.join()
