"""Number of CPU threads with which a thread of the program computes."""

from __future__ import annotations

import threading

import torch

# Parameters times utterances of a step. Without a codec, a model of 7.5 M parameters is faster with
# two threads even for one utterance. With a codec, the second thread competes with the codec's
# thread, which for one utterance costs more than it saves. The limit corresponds to 13 utterances
# of that model; it has not been measured for more than one.
SMALL_STEP = 100e6


def choose_threads(num_parameters: int, num_utterances: int, most: int) -> int:
    """Return the number of threads for a step of the model: one for small steps, else all.

    Args:
        num_parameters: Number of parameters of the model.
        num_utterances: Number of utterances in the step.
        most: Number of threads available.
    """
    return 1 if num_parameters * num_utterances < SMALL_STEP else most


def compute_with(count: int, usual: int | None = None) -> None:
    """Set the number of threads of the calling thread only.

    Args:
        count: Number of threads for operators of torch.
        usual: What other threads have. None: what this one has had so far.
    """
    # Asked in any case: a thread's first question or computation sets its number to that of all.
    own = torch.get_num_threads()
    usual = usual or own
    torch.set_num_threads(count)
    # torch also applies the setting to threads that start later. Setting the old number in a new
    # thread undoes that for later threads and leaves this one as it is.
    other = threading.Thread(target=torch.set_num_threads, args=(usual,))
    other.start()
    other.join()
