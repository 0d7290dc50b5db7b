"""How many threads of the processor a thread of the program computes with."""

from __future__ import annotations

import threading

import torch

# Parameters times utterances of a step. Alone, a model of 7.5 M is faster with two threads from one
# utterance on; but the second is in the way of the codec's, which for one utterance costs more than
# it saves. For how many more that holds has not been measured: the limit lies at 13 of them.
SMALL_STEP = 100e6


def choose_threads(num_parameters: int, num_utterances: int, most: int) -> int:
    """Threads for a step of the model: one where its layers are too little to share, else all.

    Args:
        num_parameters: Of the model.
        num_utterances: That the step writes a frame of.
        most: There are.
    """
    return 1 if num_parameters * num_utterances < SMALL_STEP else most


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
