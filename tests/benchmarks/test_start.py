"""scripts/benchmark.py start: that first audio is what it waits for, and failures are told."""

import sys
from argparse import Namespace
from pathlib import Path

import pytest

from sled.benchmarks import start

FLAGS = Namespace(model_name_or_path=None, input="Hello.", rounds=1)


@pytest.fixture
def scripts(tmp_path, monkeypatch) -> Path:
    """A folder of scripts that the benchmark finds beside itself, and libraries of no size."""
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "benchmark.py"), "start"])
    monkeypatch.setattr(start, "LIBRARIES", "pass")
    (tmp_path / "run_offline.py").write_text("import time; time.sleep(0.2)")
    return tmp_path


def test_streaming_is_timed_until_its_first_audio(scripts):
    goes_on = "import time; print('audio', flush=True); time.sleep(30)"
    (scripts / "run_stream.py").write_text(goes_on)
    seconds = start.run(FLAGS).figures["seconds"]
    assert seconds["streaming"].median < 25
    assert seconds["offline"].median > 0.2


def test_flags_reach_both_commands_and_unset_ones_are_left_to_them(scripts):
    for name in ("run_stream.py", "run_offline.py"):
        check = (
            "import sys; assert sys.argv[1:-2] == ['--input', 'Hello.'], sys.argv; print('audio')"
        )
        (scripts / name).write_text(check)
    start.run(FLAGS)


def test_a_command_that_fails_is_told(scripts):
    (scripts / "run_stream.py").write_text("raise SystemExit('no voice')")
    with pytest.raises(ValueError, match=r"run_stream\.py: no voice"):
        start.run(FLAGS)


def test_a_command_that_ends_badly_is_told(scripts):
    (scripts / "run_stream.py").write_text("print('audio')")
    (scripts / "run_offline.py").write_text("raise SystemExit('disk full')")
    with pytest.raises(ValueError, match=r"run_offline\.py: disk full"):
        start.run(FLAGS)
