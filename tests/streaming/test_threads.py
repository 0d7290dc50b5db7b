"""Each thread of the program may compute with its own number of threads."""

import threading

import pytest
import torch

from sled.streaming.threads import choose_threads, compute_with


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
        compute_with(1, usual)
        compute_with(count, usual)
        return torch.get_num_threads()

    assert asked_in_a_thread(ask) == count
    assert torch.get_num_threads() == usual
    assert asked_in_a_thread(torch.get_num_threads) == usual


@pytest.mark.parametrize(
    ("num_parameters", "num_utterances", "expected"),
    [(7e6, 1, 1), (7e6, 100, 4), (200e6, 1, 4), (7e6, 0, 1)],
)
def test_only_steps_with_much_to_compute_share_it_out(num_parameters, num_utterances, expected):
    assert choose_threads(int(num_parameters), num_utterances, most=4) == expected
