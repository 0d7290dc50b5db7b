"""Each thread of the program may compute with its own number of threads."""

import threading

import pytest
import torch

from sled.streaming.threads import compute_with


def asked_in_a_thread(question):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(question()))
    thread.start()
    thread.join()
    return answers[0]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_number_of_threads_is_the_calling_threads_alone(count):
    usual = torch.get_num_threads()

    def ask() -> int:
        compute_with(count)
        return torch.get_num_threads()

    assert asked_in_a_thread(ask) == count
    assert torch.get_num_threads() == usual
    assert asked_in_a_thread(torch.get_num_threads) == usual
