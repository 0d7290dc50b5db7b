"""`sled bench flow`: it runs, and its report has what it promises."""

import json

from tests.commands import run


def test_chunks_are_timed(capsys):
    flags = ("--size", "small", "--seconds", 3, "--steps", 1, "--guidance", 0, "--threads", 1)
    assert run("bench flow", *flags) == 0
    *text, line = capsys.readouterr().out.splitlines()
    figures = json.loads(line)
    assert any("real-time factor" in one for one in text)
    for name in ("first_chunk_s", "rtf", "late_over_early", "state_mb", "flow_parameters_m"):
        assert figures[name] > 0


def test_impossible_flags_are_refused(capsys):
    assert run("bench flow", "--size", "small", "--left_frames", 3) == 2
    assert "left_frames" in capsys.readouterr().err
