"""How figures are summed up and printed."""

import json
import statistics
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sled.benchmarks.report import Report, Spread, describe_machine, table

figures = st.lists(st.floats(0.1, 1e6), min_size=2, max_size=30)


@given(figures)
def test_a_spread_is_the_median_between_the_quartiles(values):
    spread = Spread.of(values)
    quartiles = statistics.quantiles(values, n=4, method="inclusive")
    assert [spread.low, spread.median, spread.high] == pytest.approx(quartiles)
    assert spread.count == len(values)


def test_a_single_measurement_has_no_spread():
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0, 1)


@given(figures, st.floats(0.1, 10.0))
def test_a_ratio_is_that_of_the_medians(values, factor):
    scaled = Spread.of([factor * value for value in values])
    assert scaled.over(Spread.of(values)) == pytest.approx(factor)


def test_a_spread_is_printed_as_its_median_and_quartiles():
    assert f"{Spread.of([1.0, 2.0, 3.0, 4.0, 5.0]):.1f}" == "3.0 (2.0 to 4.0)"


def test_columns_stand_below_one_another():
    lines = table([["size", "frames/s"], ["published", "7"], ["debug", "12345"]]).splitlines()
    assert lines == ["size       frames/s", "published         7", "debug         12345"]


def test_a_report_is_one_line_of_json():
    spread = Spread.of([1.0, 2.0])
    settings = {"manifest": [Path("a.jsonl")], "steps": 2, "device": torch.device("cpu")}
    report = Report("toy", {"cores": 2}, settings, {"speed": {"fast": spread}}, "all is well")
    line = report.to_json()
    assert "\n" not in line
    assert json.loads(line) == {
        "benchmark": "toy",
        "machine": {"cores": 2},
        "settings": {"manifest": ["a.jsonl"], "steps": 2, "device": "cpu"},
        "speed": {"fast": {"median": 1.5, "low": 1.25, "high": 1.75, "count": 2}},
    }
    assert str(report) == "benchmark toy on: cores 2\n\nall is well"


def test_the_machine_is_described():
    machine = describe_machine(torch.device("cpu"))
    assert machine["cpu"]
    assert machine["cores"] >= 1
    assert machine["threads"] == torch.get_num_threads()
    assert machine["torch"] == torch.__version__
    assert "gpu" not in machine


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_described():
    machine = describe_machine(torch.device("cuda"))
    assert machine["gpu"] == torch.cuda.get_device_name()
    assert machine["gpu_memory_gib"] > 0
