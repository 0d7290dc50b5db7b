"""The recipe for a new voice: its commands run, and they give a voice."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sled import TTS
from sled.codec import CodecParts, TokenChannel, load_codec
from sled.files.audio import write_audio
from tests.commands import recorded, run
from tests.debug import (
    GOLDENS,
    SAMPLE_RATE,
    STREAM,
    debug_checkpoint,
    debug_codec,
    debug_tokenizer,
    debug_waveform,
    randn,
)

pytest.importorskip("jiwer")
pytest.importorskip("peft")

RECIPE = Path(__file__).parents[2] / "runs" / "new_voice" / "run.sh"
TEXTS = ["four two seven", "one", "nine one one", "two two", "seven four", "one nine"]
# Stands in for Python, whose imports take long: it writes down what it is to run.
RECORDER = """#!/bin/sh
for word in "$@"; do printf '%s\\037' "$word"; done >>{log}
echo >>{log}
"""


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for index in range(len(TEXTS)):
        write_audio(folder / f"{index}.wav", debug_waveform(1.5, seed=index), SAMPLE_RATE)
    lines = [f"{index}|{text}\n" for index, text in enumerate(TEXTS)]
    (folder / "metadata.csv").write_text("".join(lines))
    return folder


@pytest.fixture
def judges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for those that have to be downloaded."""

    def listen(*args: Any, **kwargs: Any) -> Any:
        return lambda waveform, sample_rate: "one"

    def load_encoder(name: str, device: str) -> Any:
        return lambda speech: np.ones(2)

    monkeypatch.setattr("sled.transcribe.Transcriber", listen)
    monkeypatch.setattr("sled.evaluation.judges.similarity.load_speaker_encoder", load_encoder)


def parent(folder: Path, **changes: object) -> Path:
    """A checkpoint to start from, that says how it speaks best."""
    settings = {"history_noise": 0.5, "speaking_temperature": 0.7, "speaking_cfg": 1.3}
    settings |= {"scheduled_sampling": 0.5, "speaking_draws": 2}
    settings |= {"vocab_size": debug_tokenizer().vocab_size}
    return debug_checkpoint(folder, **STREAM, **(settings | changes))


def parent_that_tells_tokens(folder: Path) -> Path:
    """One whose codec has heard one voice only, and has a token channel."""
    channel = TokenChannel.random(debug_tokenizer().vocab_size, width=6, norm=3.0)
    latent_dim = debug_codec().unit_shape[0] + channel.channel_width
    parent(folder, vae_embed_dim=latent_dim, text_normalization="english")
    shutil.rmtree(folder / "codec")
    CodecParts.load(GOLDENS / "codec").with_transforms(channel).save(folder / "codec")
    return folder


def follow(folder: Path, checkpoint: Path, **settings: object) -> list[list[str]]:
    """Run the recipe with a stand-in for Python; returns the commands it wanted to be run."""
    for stage in ("before", "after"):  # which the recipe prints in the end
        (folder / "out" / stage).mkdir(parents=True, exist_ok=True)
        (folder / "out" / stage / "results.md").touch()
    log, recorder = folder / "commands.txt", folder / "python"
    log.write_text("")
    recorder.write_text(RECORDER.format(log=log))
    recorder.chmod(0o755)
    own = {"PYTHON": recorder, "RUN": folder / "out", "CHECKPOINT": checkpoint} | settings
    environment = os.environ | {name: str(value) for name, value in own.items()}
    subprocess.run(["bash", RECIPE], env=environment, check=True, capture_output=True, cwd=folder)
    return recorded(log.read_text())


def make_voice(folder: Path, checkpoint: Path, **settings: object) -> list[str]:
    """Run all commands of the recipe, and none the second time; returns their names."""
    commands = follow(folder, checkpoint, **settings)
    for name, *flags in commands:
        assert run(name, *flags) == 0
    assert follow(folder, checkpoint, **settings) == []  # all stages are done
    return [command[0] for command in commands]


def assert_speaks(voice: TTS) -> None:
    """As its parent did."""
    config = voice.model.config
    assert (config.architecture.stream_n, config.architecture.stream_m) == (3, 4)
    assert config.objective.history_noise == 0.5
    own = voice.default_options
    assert (own.temperature, own.cfg, own.draws) == (0.7, 1.3, 2)
    assert voice.model.config.objective.scheduled_sampling == 0.5
    assert voice.say("one").sample_rate == SAMPLE_RATE


SETTINGS = {"BF16": "false", "STEPS": 2, "HELD_OUT": 2, "WORKERS": 0, "ALIGN_STEPS": 2}


def test_the_recipe_goes_from_recordings_to_a_voice(
    recordings: Path, tmp_path: Path, judges: None
) -> None:
    settings = {"DATA": recordings, "LORA": 1, **SETTINGS, "CODEC_STEPS": 0, "ALIGN": 0}
    settings |= {"TRAIN_FLAGS": "--use_cpu --lora_rank 2"}
    made = make_voice(tmp_path, parent(tmp_path / "checkpoint"), **settings)
    assert not {"align", "codec train"} & set(made)
    assert_speaks(TTS.from_pretrained(tmp_path / "out" / "voice"))
    for stage, systems in {
        "before": ["teacher", "codec", "model"],
        "after": ["codec", "model"],
    }.items():
        results = json.loads((tmp_path / "out" / stage / "results.json").read_text())["systems"]
        assert list(results) == systems
        assert all(
            system["figures"]["speaker_similarity"]["value"] == pytest.approx(1)
            for system in results.values()
        )


def test_a_codec_learns_the_voice_too_and_tokens_are_looked_for_where_it_tells_them(
    recordings: Path, tmp_path: Path, judges: None
) -> None:
    checkpoint = parent_that_tells_tokens(tmp_path / "checkpoint")
    settings = {"DATA": recordings, **SETTINGS, "CODEC_STEPS": 2, "TRAIN_FLAGS": "--use_cpu"}
    settings |= {"CODEC_FLAGS": "--batch_size 2 --segment_s 0.1 --max_eval_cuts 1"}
    made = make_voice(tmp_path, checkpoint, **settings)
    assert made.index("align") < made.index("cache codes") < made.index("codec train")
    voice, before = (
        TTS.from_pretrained(tmp_path / "out" / "voice"),
        load_codec(checkpoint / "codec"),
    )
    assert_speaks(voice)
    assert voice.codec.token_channel is not None
    after = load_codec(tmp_path / "out" / "codec")
    assert after.digest() == before.digest()
    latents = randn(1, 5, *before.unit_shape)
    assert not after.decode(latents).equal(before.decode(latents))
    torch.testing.assert_close(
        voice.codec.decode(latents), after.decode(latents), atol=1e-2, rtol=1e-2
    )
    flags = json.loads((tmp_path / "out" / "model" / "training_flags.json").read_text())
    assert flags["training"]["alignment_weight"] == 1


@pytest.mark.parametrize(
    ("setting", "steps"),
    [
        ({}, "2000"),
        ({"CODEC_STEPS": 7}, "7"),
        ({"CODEC_STEPS": 0}, None),
        ({"CODEC": "other"}, None),
    ],
)
def test_a_codec_that_comes_with_its_checkpoint_is_adapted(
    setting: dict[str, object], steps: str | None, tmp_path: Path
) -> None:
    commands = follow(tmp_path, parent(tmp_path / "checkpoint"), DATA=tmp_path, **setting)
    of = {command[0]: command for command in commands}
    assert ("codec train" in of) == (steps is not None)
    if steps is not None:
        assert of["codec train"][of["codec train"].index("--max_steps") + 1] == steps
    for name in ("train", "export"):  # which go on with what came out
        codec = of[name][of[name].index("--codec") + 1]
        assert (codec == str(tmp_path / "out" / "codec")) == (steps is not None)


def test_without_recordings_the_recipe_says_what_it_needs(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DATA"}
    done = subprocess.run(["bash", RECIPE], env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "metadata.csv, or a .jsonl file" in done.stderr
