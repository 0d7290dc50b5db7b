"""The clocks of benchmarks assign time to the right phase."""

import time

import pytest
import torch

from sled.benchmarks.timing import PhaseClock, time_in_turns

CPU = torch.device("cpu")


def test_functions_take_turns_and_the_first_round_only_warms_up():
    calls = []

    def work(name: str, seconds: float) -> None:
        calls.append(name)
        # The first call is slow, as first calls are.
        time.sleep(seconds if name in calls[:-1] else 0.2)

    functions = {"a": lambda: work("a", 0.0), "b": lambda: work("b", 0.02)}
    seconds = time_in_turns(functions, 3, CPU)
    assert calls == ["a", "b"] * 4
    assert [len(measured) for measured in seconds.values()] == [3, 3]
    assert max(seconds["a"]) < 0.2
    assert min(seconds["b"]) >= 0.02


def test_a_phase_has_the_time_of_all_its_blocks_and_of_no_others():
    clock = PhaseClock(CPU)
    for _ in range(2):
        with clock.phase("work"):
            time.sleep(0.03)
        with clock.phase("wait", on_host=True):
            time.sleep(0.01)
    time.sleep(0.02)  # in no phase
    total_s, phases = clock.finish_step()
    assert phases.keys() == {"work", "wait"}
    assert phases["work"] >= 0.06 > 0.02 <= phases["wait"]
    assert sum(phases.values()) + 0.02 <= total_s


def test_every_step_begins_anew():
    clock = PhaseClock(CPU)
    with clock.phase("work"):
        time.sleep(0.05)
    clock.finish_step()
    total_s, phases = clock.finish_step()
    assert phases == {}
    assert total_s < 0.05


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_times_its_work_itself():
    """A host that only gives orders is done long before."""
    device = torch.device("cuda")
    a = torch.randn(4096, 4096, device=device)
    clock = PhaseClock(device)
    with clock.phase("work"):
        for _ in range(50):
            a @ a
    ordered = time.perf_counter()
    total_s, phases = clock.finish_step()
    waited = time.perf_counter() - ordered
    assert phases["work"] == pytest.approx(total_s, rel=0.2)
    assert phases["work"] > waited / 2
