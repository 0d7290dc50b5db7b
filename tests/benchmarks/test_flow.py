"""`sled bench flow`, and `sled bench latency` with such a chain: their reports."""

import json

import pytest

from sled.benchmarks import latency
from sled.simulation.client import Timeline
from tests.commands import run


@pytest.mark.parametrize("seconds", [1, 3])  # the first is a single chunk
def test_chunks_are_timed(seconds, capsys):
    flags = ("--size", "small", "--seconds", seconds, "--steps", 1, "--guidance", 0, "--threads", 1)
    assert run("bench flow", *flags) == 0
    *text, line = capsys.readouterr().out.splitlines()
    figures = json.loads(line)
    assert any("real-time factor" in one for one in text)
    assert not any("nan" in one for one in text)
    for name in ("first_chunk_s", "rtf", "late_over_early", "state_mb", "flow_parameters_m"):
        assert figures[name] > 0


def test_impossible_flags_are_refused(capsys):
    assert run("bench flow", "--size", "small", "--left_frames", 3) == 2
    assert "left_frames" in capsys.readouterr().err


CHAIN = ("bench latency", "--family", "cosyvoice2", "--device", "cpu", "--rounds", 1)


def test_a_chain_is_timed_as_it_is(capsys):
    at_once = ("--words_per_second", "inf", "--words", 4)
    assert run(*CHAIN, "--size", "debug", *at_once) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["settings"]["cfg"] == "1.0"
    assert figures["first_audio_ms"] > 0
    assert figures["rtf"] > 0
    assert figures["ratio"] > 1  # the audio comes in pieces


def test_all_times_are_counted_from_the_first_word(monkeypatch, capsys):
    timeline = Timeline(first_text_s=1.0, chunks=[(2.0, 24000), (3.0, 24000)])
    monkeypatch.setattr(latency, "_hold_session", lambda *_: timeline)
    assert run(*CHAIN, "--size", "debug", "--words_per_second", "inf") == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (figures["first_audio_ms"], figures["rtf"], figures["ratio"]) == (1000, 1, 2)


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--size", "digits"), "choose published or debug"),
        (("--size", "debug", "--words", 1), "more words"),
    ],
)
def test_a_chain_that_cannot_be_timed_is_refused(flags, problem, capsys):
    assert run(*CHAIN, *flags) == 2
    assert problem in capsys.readouterr().err
