"""A recording without a transcript is recognised, and what was understood is printed."""

import numpy as np
import pytest
import soundfile

from tests.commands import run
from tests.debug import SAMPLE_RATE, debug_checkpoint, debug_waveform


class Recognizer:
    """Understands the same words in every recording."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.heard: list[np.ndarray] = []

    def __call__(self, waveform: object, sample_rate: int) -> str:
        self.heard.append(np.asarray(waveform))
        return self.words


@pytest.fixture
def flags(tmp_path):
    soundfile.write(tmp_path / "voice.wav", debug_waveform(0.8), SAMPLE_RATE)
    checkpoint = debug_checkpoint(tmp_path / "checkpoint")
    return ["--model", str(checkpoint), "--prompt_audio", str(tmp_path / "voice.wav")]


def use(monkeypatch: pytest.MonkeyPatch, recognizer: Recognizer) -> list[str]:
    named: list[str] = []

    def load(name: str = "base") -> Recognizer:
        named.append(name)
        return recognizer

    for module in ("sled.cli.recordings", "sled.streaming.voice_maker"):
        monkeypatch.setattr(f"{module}.load_recognizer", load)
    return named


def clone(flags: list[str], output: object) -> int:
    return run("clone", "one two", *flags, "--max_length", "90", "--output", output)


def test_words_that_are_not_given_are_recognised_and_printed(flags, tmp_path, monkeypatch, capsys):
    recognizer = Recognizer("four seven")
    named = use(monkeypatch, recognizer)
    assert clone([*flags, "--whisper", "folder"], tmp_path / "recognised.wav") == 0
    printed = capsys.readouterr()
    assert '"four seven"' in printed.out + printed.err
    assert set(named) == {"folder"} and len(recognizer.heard) == 1
    assert clone([*flags, "--prompt_text", "four seven"], tmp_path / "given.wav") == 0
    np.testing.assert_array_equal(
        *(soundfile.read(tmp_path / name)[0] for name in ("recognised.wav", "given.wav"))
    )


def test_a_recording_in_which_no_word_is_understood_is_refused(
    flags, tmp_path, monkeypatch, capsys
):
    use(monkeypatch, Recognizer(""))
    assert clone(flags, tmp_path / "out.wav") == 2
    assert "no word was recognised" in capsys.readouterr().err
