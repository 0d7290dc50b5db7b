"""`sled bench server`: what a server adds to a session."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.commands import run
from tests.debug import debug_checkpoint
from tests.serving.conftest import SIZES


def test_what_is_added_is_the_difference_to_the_session_of_the_round(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = debug_checkpoint(tmp_path / "model", **SIZES, max_position_embeddings=2048)
    assert run("bench server", "--model", model, "--text", "four two", "--rounds", 3) == 0
    lines = capsys.readouterr().out.splitlines()
    figures = json.loads(lines[-1])
    first_ms = {name: np.array(values) for name, values in figures["first_audio_ms"].items()}
    assert set(first_ms) == {"session in process", "HTTP", "WebSocket"}
    for name, values in first_ms.items():
        assert len(values) == 3 and (values > 0).all()
        more = values - first_ms["session in process"]
        assert figures["added_ms"][name]["median"] == pytest.approx(np.median(more))
    assert len(figures["free_ms"]) == 3 and min(figures["step_ms"]) > 0


def test_a_model_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bench server", "--model", tmp_path / "none") == 2
    assert "none" in capsys.readouterr().err.splitlines()[-1]
