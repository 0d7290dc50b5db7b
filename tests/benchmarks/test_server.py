"""`sled bench server`: what a server adds to a session."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.commands import run
from tests.debug import debug_checkpoint
from tests.serving.conftest import SIZES


def test_figures_of_each_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = debug_checkpoint(tmp_path / "model", **SIZES, max_position_embeddings=2048)
    assert run("bench server", "--model", model, "--text", "four two", "--rounds", 3) == 0
    lines = capsys.readouterr().out.splitlines()
    figures = json.loads(lines[-1])
    assert len(figures["session_ms"]) == len(figures["free_ms"]) == 3
    assert min(figures["step_ms"]) > 0
    for way in ("HTTP", "WebSocket"):
        first_ms, added_ms = (
            np.array(figures[name][way]) for name in ("first_audio_ms", "added_ms")
        )
        assert len(first_ms) == 3
        assert (added_ms > 0).all() and (added_ms < first_ms).all()


def test_a_model_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bench server", "--model", tmp_path / "none") == 2
    assert "none" in capsys.readouterr().err.splitlines()[-1]
