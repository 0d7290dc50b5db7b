"""What a run shows of its progress, and how often it logs."""

import logging
import re
from pathlib import Path

import pytest

from sled.training.arguments import parse_flags
from tests.training.runs import fit, logged


@pytest.mark.parametrize(
    ("max_steps", "given", "used"),
    [(3, [], 1), (50, [], 2), (2_000, [], 100), (100_000, [], 500), (50, ["30"], 30)],
)
def test_a_run_logs_at_least_twenty_times_if_not_told_otherwise(
    max_steps: int, given: list[str], used: int, tmp_path: Path
) -> None:
    flags = ["--use_cpu", "--output_dir", str(tmp_path), "--max_steps", str(max_steps)]
    *_, args = parse_flags([*flags, *(f"--logging_steps={value}" for value in given)])
    assert args.logging_steps == used


def test_lines_tell_the_step_the_loss_and_the_time_left(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    evaluation = {"eval_manifest": corpus / "cached", "eval_strategy": "steps", "eval_steps": 3}
    output = fit(corpus, tmp_path, **evaluation, max_steps=6)
    lines = [message for message in caplog.messages if message.startswith("step ")]
    losses = [float(found[1]) for line in lines if (found := re.search(r": loss ([\d.]+)", line))]
    assert losses == pytest.approx(logged(output, "loss"), abs=1e-3)
    assert sum("evaluation loss" in line for line in lines) == 2
    assert re.match(r"step 1 of 6, epoch 0\.33: loss .*, \d\d:\d\d left$", lines[0])
    assert "left" not in lines[-1]
