"""Peers run in other processes; their figures are compared with ours."""

import sys

import pytest

from sled.benchmarks.peers.in_turns import (
    OURS,
    PEERS,
    check_peer,
    describe_peers,
    run_peer,
    time_in_turns_with_peers,
)
from tests.commands import run


def test_medians_of_a_peer_are_compared_with_ours(tmp_path, monkeypatch):
    script = tmp_path / "peer.py"
    script.write_text('print("loading"); print(\'{"rtf": 0.4, "first_audio_ms": 90}\')')
    monkeypatch.setitem(PEERS, "pocket-tts", {"it": (script,)})
    turns = iter([0.1, 0.2, 0.9])
    figures = time_in_turns_with_peers(
        lambda: {"rtf": next(turns), "first_audio_ms": 30}, "pocket-tts", sys.executable, 3
    )
    assert figures == {
        OURS: {"rtf": 0.2, "first_audio_ms": 30},
        "it": {"rtf": 0.4, "first_audio_ms": 90},
    }
    assert describe_peers(figures)[2] == ["it", "0.400", "2.00", "90", "3.00"]


def test_a_peer_that_fails_or_is_absent_is_told(tmp_path, capsys):
    script = tmp_path / "peer.py"
    script.write_text("raise RuntimeError('no voice')")
    with pytest.raises(ValueError, match="failed: RuntimeError: no voice"):
        run_peer(sys.executable, (script,))
    check_peer("json", sys.executable)
    with pytest.raises(ValueError, match="pip install no-such-peer"):
        check_peer("no-such-peer", sys.executable)
    flags = ("--size", "debug", "--peer", "pocket-tts", "--peer_python", "/bin/false")
    assert run("bench generate", *flags) == 2
    assert "/bin/false has no pocket-tts" in capsys.readouterr().err
