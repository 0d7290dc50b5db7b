"""`sled bench sessions`: it runs, and measures what its report says."""

import json

import pytest
import torch

from sled.benchmarks.memory import position_bytes
from sled.benchmarks.sessions import JOINING_STEPS, Crowd, IdleModel
from sled.model.config import Config
from tests.commands import run
from tests.debug import debug_model

SMALL = ("--size", "debug", "--device", "cpu", "--batch", 4, "--steps", 5, "--frames", 16)


def test_steps_are_timed_and_memory_is_told(capsys):
    assert run("bench sessions", *SMALL, "--context", 10) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    for name in ("step_ms", "host_ms"):
        assert 0 < figures[name]["median"] <= figures[name]["p99"] <= figures[name]["most"]
    assert 0 <= figures["late_share"] <= 1
    due_ms = 1e3 / 75
    expected = 4 * due_ms / figures["step_ms"]["median"] / torch.get_num_threads()
    assert figures["callers_per_core"] == pytest.approx(expected)
    assert figures["bytes_per_position"] == 2 * 2 * 2 * 64 * 4  # rows, keys and values, layers
    assert figures["codec_state_mb"] > 0
    assert figures["peak_gpu_memory_mb"] is None


def test_more_than_the_positions_is_refused_in_one_line(capsys):
    assert run("bench sessions", *SMALL, "--context", 3000) == 2
    error = capsys.readouterr().err
    assert "--context 3000 and --frames 16 take" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("idle", [False, True])
def test_a_crowd_stays_as_large_as_it_is_and_its_sessions_are_not_in_step(idle):
    model = debug_model()
    crowd = Crowd(IdleModel(model) if idle else model, batch=90, context=5, frames=60, cfg=2.0)
    for _ in range(JOINING_STEPS):
        crowd.step()
    phases = set()
    for _ in range(70):
        crowd.step()
        assert len(crowd.decoder.utterances) == 90
        for one in crowd.decoder.utterances:
            crowd.decoder.update(one)
        phases = {one.rows[0].num_frames % 45 for one in crowd.decoder.utterances}
        assert len(phases) > 20


def test_a_position_of_the_published_size_takes_48_kib_in_bfloat16():
    config = Config()
    assert position_bytes(config, "bfloat16") == 48 * 1024
    assert position_bytes(config, "int8") in (25.5 * 1024, 48 * 1024)  # with kernels, and without
    model = debug_model()
    cache = model.new_cache()
    cache.add_rows(1)
    model.advance(torch.zeros(1, 1, 32), [0], [1], cache)
    held = cache.read_row(0)
    taken = sum(one.numel() * one.element_size() for one in held)
    assert position_bytes(model.config, "float32") == taken
