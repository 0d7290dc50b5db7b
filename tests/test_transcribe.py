"""The audio that Whisper gets, recorded by a stand-in for it."""

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sled.files.extras import install_command
from sled.transcribe import Transcriber

VOCABULARY = ["four", "4", " 42nd", "²", "two", "<|endoftext|>", "<|0.00|>"]


class FakeWhisper:
    """Hears two segments in anything and keeps what it was called with."""

    def __init__(self, model: str, **settings: Any) -> None:
        if model in ("small", "missing", "empty"):
            raise RuntimeError("Unable to open file 'model.bin'\nin some folder")
        self.settings = settings
        self.hf_tokenizer = SimpleNamespace(
            token_to_id=VOCABULARY.index,
            decode_batch=lambda batch: [VOCABULARY[token_id] for (token_id,) in batch],
        )

    def transcribe(self, samples: np.ndarray, **options: Any) -> tuple[list[Any], None]:
        FakeWhisper.heard, FakeWhisper.options = samples, options
        return [SimpleNamespace(text=" Four, two,"), SimpleNamespace(text=" seven. ")], None


@pytest.fixture(autouse=True)
def fake_whisper(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("faster_whisper")
    module.WhisperModel = FakeWhisper  # type: ignore[attr-defined]
    module.available_models = lambda: ["base", "small"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "faster_whisper", module)


def test_audio_is_resampled_and_padded_with_silence() -> None:
    waveform = np.sin(np.arange(24_000) / 10).astype(np.float32)
    assert Transcriber()(waveform, 24_000) == "Four, two, seven."
    heard = FakeWhisper.heard
    assert heard.shape == (8_000 + 16_000 + 8_000,) and heard.dtype == np.float32
    assert not heard[:8_000].any() and not heard[-8_000:].any()
    assert heard[8_000:-8_000].std() == pytest.approx(waveform.std(), rel=0.02)


def test_tokens_with_numerals_are_suppressed_unless_asked_for() -> None:
    Transcriber()(np.ones(160), 16_000)
    assert FakeWhisper.options["suppress_tokens"] == [-1, 1, 2, 3]
    Transcriber(numerals=True)(np.ones(160), 16_000)
    assert FakeWhisper.options["suppress_tokens"] == [-1]


def test_nothing_is_heard_in_no_audio() -> None:
    assert Transcriber()(np.zeros(0), 24_000) == ""


@pytest.mark.parametrize(
    ("model", "remedy"),
    [
        (
            "small",
            "Download the repository Systran/faster-whisper-small .* name that with --whisper",
        ),
        ("missing", "no Whisper model 'missing' .* the sizes are base, small"),
        ("empty", "empty holds no Whisper model .*it lacks config.json and model.bin"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_refused_in_one_line(
    model: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=remedy) as caught:
        Transcriber(model)
    assert "\n" not in str(caught.value)


def test_without_the_extra_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(ValueError, match=re.escape(install_command("eval"))):
        Transcriber()
