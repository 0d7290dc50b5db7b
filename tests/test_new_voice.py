"""The recipe for a new voice: its commands are those the scripts take, and they give a voice."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sled import TTS
from sled.data.audio import write_audio
from tests.commands import run
from tests.debug import SAMPLE_RATE, STREAM, debug_checkpoint, debug_tokenizer, debug_waveform

pytest.importorskip("jiwer")
pytest.importorskip("peft")

RECIPE = Path(__file__).parents[1] / "runs" / "new_voice" / "run.sh"
TEXTS = ["four two seven", "one", "nine one one", "two two", "seven four", "one nine"]
# Stands in for Python, whose imports take long: it writes down what it is to run.
RECORDER = """#!/bin/sh
if [ "$1" = - ]; then cat >{script}; echo KEPT; exit; fi
for word in "$@"; do printf '%s\\037' "$word"; done >>{log}
echo >>{log}
"""


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for index in range(len(TEXTS)):
        write_audio(folder / f"{index}.wav", debug_waveform(0.6, seed=index), SAMPLE_RATE)
    lines = [f"{index}|{text}\n" for index, text in enumerate(TEXTS)]
    (folder / "metadata.csv").write_text("".join(lines))
    return folder


def follow(folder: Path, **settings: object) -> list[list[str]]:
    """Run the recipe with a stand-in for Python; returns the commands it wanted to be run."""
    log, script, recorder = folder / "commands.txt", folder / "piped.py", folder / "python"
    log.write_text("")
    recorder.write_text(RECORDER.format(script=script, log=log))
    recorder.chmod(0o755)
    for stage in ("before", "after"):  # which the recipe prints in the end
        (folder / "out" / stage).mkdir(parents=True, exist_ok=True)
        (folder / "out" / stage / "results.md").touch()
    own = {"PYTHON": recorder, "RUN": folder / "out"} | settings
    environment = os.environ | {name: str(value) for name, value in own.items()}
    subprocess.run(["bash", RECIPE], env=environment, check=True, capture_output=True, cwd=folder)
    return [line.split("\037")[:-1] for line in log.read_text().splitlines()]


def run_piped(script: Path, *argv: object) -> list[str]:
    """Words that a script prints, run as if piped into Python."""
    with redirect_stdout(io.StringIO()) as printed, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["-", *map(str, argv)])
        exec(compile(script.read_text(), script, "exec"), {})
    return printed.getvalue().split()


def test_the_recipe_goes_from_recordings_to_a_voice(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listen(*args: Any, **kwargs: Any) -> Any:
        return lambda waveform, sample_rate: "one"

    def load_encoder(name: str, device: str) -> Any:
        return lambda speech: np.ones(2)

    monkeypatch.setattr("sled.evaluation.transcribe.Transcriber", listen)
    monkeypatch.setattr("sled.evaluation.speaker.load_speaker_encoder", load_encoder)
    checkpoint = debug_checkpoint(
        tmp_path / "checkpoint",
        **STREAM,
        vocab_size=debug_tokenizer().vocab_size,
        history_noise=0.5,
    )
    settings = {"DATA": recordings, "CHECKPOINT": checkpoint, "LORA": 1, "BF16": "false"}
    settings |= {"STEPS": 2, "HELD_OUT": 2, "TRAIN_FLAGS": "--use_cpu --lora_rank 2"}

    commands = follow(tmp_path, **settings)
    kept = run_piped(tmp_path / "piped.py", checkpoint)
    for script, *words in commands:
        flags = [flag for word in words for flag in (kept if word == "KEPT" else [word])]
        assert run(Path(script).stem, *flags) == 0
    assert follow(tmp_path, **settings) == []  # all stages are done

    voice = TTS.from_pretrained(tmp_path / "out" / "voice")
    config = voice.model.config
    assert (config.stream_n, config.stream_m, config.history_noise) == (3, 4, 0.5)
    assert voice.say("one").sample_rate == SAMPLE_RATE
    for stage, systems in {"before": ["teacher", "codec", "model"], "after": ["model"]}.items():
        results = json.loads((tmp_path / "out" / stage / "results.json").read_text())["systems"]
        assert list(results) == systems
        assert all(
            figures["speaker_similarity"] == pytest.approx(1) for figures in results.values()
        )


def test_without_recordings_the_recipe_says_what_it_needs(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DATA"}
    done = subprocess.run(["bash", RECIPE], env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "metadata.csv, or a .jsonl file" in done.stderr
