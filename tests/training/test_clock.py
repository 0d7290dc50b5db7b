"""The time of training on a processor stands still while the run does."""

import time

import pytest
import torch

from sled.training.clock import training_seconds


def test_pauses_do_not_count_on_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(time, "process_time", lambda: 12.0)
    monkeypatch.setattr(time, "monotonic", lambda: 30.0)
    assert training_seconds("cpu") == 6.0
    assert training_seconds(torch.device("cuda", 1)) == 30.0
