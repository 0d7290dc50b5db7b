"""`sled bench start`: it waits for the first audio, and reports failures."""

from argparse import Namespace
from pathlib import Path

import pytest

from sled.benchmarks import start

FLAGS = Namespace(model=None, input="Hello.", rounds=1)
SPEAK = "import time; time.sleep(0.2)"


@pytest.fixture
def sled(tmp_path, monkeypatch):
    """Puts programs in the place of `sled stream` and `sled speak`, and of the baseline."""
    dispatcher = tmp_path / "sled.py"
    dispatcher.write_text(
        "import runpy, sys; from pathlib import Path\n"
        "runpy.run_path(str(Path(__file__).with_name(sys.argv.pop(1) + '.py')))"
    )
    monkeypatch.setattr(start, "SLED", [str(dispatcher)])
    monkeypatch.setattr(start, "BASELINE", ["-c", "pass"])

    def write(stream: str, speak: str = SPEAK) -> Path:
        (tmp_path / "stream.py").write_text(stream)
        (tmp_path / "speak.py").write_text(speak)
        return tmp_path

    return write


def test_streaming_is_timed_until_its_first_audio(sled):
    sled("import time; print('audio', flush=True); time.sleep(30)")
    seconds = start.measure(FLAGS).figures["seconds"]
    assert seconds["stream"].median < 25
    assert seconds["speak"].median > 0.2


def test_flags_reach_both_commands_and_unset_ones_are_left_to_them(sled):
    check = "import sys; assert sys.argv[1:-2] == ['--input', 'Hello.'], sys.argv; print('audio')"
    sled(check, check)
    start.measure(FLAGS)


def test_a_command_that_fails_is_reported(sled):
    sled("raise SystemExit('no voice')")
    with pytest.raises(ValueError, match=r"stream .*: no voice"):
        start.measure(FLAGS)


def test_a_command_that_ends_badly_is_reported(sled):
    sled("print('audio')", "raise SystemExit('disk full')")
    with pytest.raises(ValueError, match=r"speak .*: disk full"):
        start.measure(FLAGS)
