"""The whole evaluation, with a toy teacher, toy models and a recogniser of their tones."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lhotse import MonoCut
from lhotse.utils import fastcopy

from sled.data.manifests import load_cuts, save_cuts
from sled.data.synthetic.digits import DIGIT_WORDS, prepare_digits
from sled.decoding import DecodingOptions
from sled.evaluation.systems import (
    choose_prompts,
    speak_live,
    speak_through_codec,
    speak_whole,
    text_of,
)
from sled.model.layout import Layout
from sled.tts import TTS
from tests.commands import run
from tests.debug import debug_checkpoint

pytest.importorskip("jiwer")

DIGIT_S = 0.1


def say(text: str, seed: int = 0) -> np.ndarray:
    """One tone of its own per digit, in margins of silence."""
    times = np.arange(round(DIGIT_S * 24_000)) / 24_000
    tones = [np.sin(2 * np.pi * (500 + 100 * DIGIT_WORDS.index(w)) * times) for w in text.split()]
    return np.concatenate([np.zeros(4_800), *tones, np.zeros(4_800)]).astype(np.float32)


class ToneListener:
    """Reads the tones back, like a listener who never errs."""

    def __init__(self, model: str, numerals: bool = False) -> None:
        pass

    def __call__(self, waveform: np.ndarray, sample_rate: int) -> str:
        loud = np.flatnonzero(np.abs(waveform) > 0.01)
        if len(loud) == 0:
            return ""
        speech = waveform[loud[0] : loud[-1] + 1]
        heard = []
        for tone in np.array_split(speech, max(1, round(len(speech) / DIGIT_S / sample_rate))):
            peak_hz = np.abs(np.fft.rfft(tone)).argmax() * sample_rate / len(tone)
            heard.append(DIGIT_WORDS[int(np.clip(round((peak_hz - 500) / 100), 0, 9))])
        return " ".join(heard)


class ToyCodec:
    """Frames of 320 samples are their own latents."""

    sample_rate = 24_000

    def encode(self, waveforms: list[torch.Tensor]) -> list[torch.Tensor]:
        return [torch.nn.functional.pad(w, (0, -len(w) % 320)).view(-1, 320).T for w in waveforms]

    def codes_to_units(self, codes: torch.Tensor) -> torch.Tensor:
        return codes.mT

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return latents.flatten(1)


class ToyTTS:
    """Says what it is told, but forgets the last digit when it streams."""

    def __init__(self) -> None:
        self.codec = ToyCodec()
        self.model = SimpleNamespace(layout=Layout(5, 45))
        self.default_options = DecodingOptions(temperature=0.7)
        self.max_prompt_s = None
        self.calls: list[dict[str, Any]] = []

    def synthesize(
        self, texts: list[str], layout: Layout | None, **call: Any
    ) -> list[SimpleNamespace]:
        self.calls.append({"texts": texts, **call})
        if not (layout or self.model.layout).is_offline:
            texts = [text.rpartition(" ")[0] for text in texts]
        return [
            SimpleNamespace(audio=say(text) if text else np.zeros(0, np.float32), stopped=True)
            for text in texts
        ]


def toy_encoder(speech: np.ndarray) -> np.ndarray:
    """All speech is of one voice."""
    return np.ones(2)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    sizes = {"train": 20, "joined": 0, "valid": 8, "test": 24}
    return prepare_digits(folder, **sizes, teacher=say)["test"]


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Toys in place of the models that `sled evaluate` loads."""
    toy_tts = SimpleNamespace(from_pretrained=lambda name, **kwargs: ToyTTS())
    monkeypatch.setattr("sled.evaluation.systems.TTS", toy_tts)
    monkeypatch.setattr("sled.transcribe.Transcriber", ToneListener)
    monkeypatch.setattr(
        "sled.evaluation.speaker.load_speaker_encoder", lambda name, device: toy_encoder
    )


def test_every_mode_is_scored(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evaluate", "--manifest", manifest, "--output", tmp_path, "--save_audio") == 0

    systems = json.loads((tmp_path / "results.json").read_text())["systems"]
    assert list(systems) == ["teacher", "codec", "offline", "stream", "clone"]
    for name in ("teacher", "codec", "offline", "clone"):
        assert systems[name]["error_rate"] == 0 and systems[name]["exact_rate"] == 1
        assert systems[name]["early_stops"] == systems[name]["cut_off"] == 0
    num_digits = systems["stream"]["score"]["words"]
    assert systems["stream"]["score"]["errors"] == 24  # one digit of every string
    assert systems["stream"]["error_rate"] == pytest.approx(24 / num_digits)
    assert systems["stream"]["early_stops"] == pytest.approx(
        3 / 24
    )  # of lone digits nothing is left
    assert systems["teacher"]["duration_ratio"] == 1.0
    assert systems["teacher"]["real_time_factor"] is None
    assert systems["offline"]["real_time_factor"] > 0
    assert len(list((tmp_path / "clone").glob("test-*.flac"))) == 24

    table = (tmp_path / "results.md").read_text()
    assert table.strip() in capsys.readouterr().out
    assert f"| stream | {24 / num_digits:.1%} | 24 / {num_digits} | 0% |" in table


def test_limit_and_modes_narrow_the_run(manifest: Path, tmp_path: Path) -> None:
    flags = ["--manifest", str(manifest), "--output", str(tmp_path)]
    assert run("evaluate", *flags, "--limit", "5", "--modes", "teacher") == 0
    systems = json.loads((tmp_path / "results.json").read_text())["systems"]
    assert list(systems) == ["teacher"] and systems["teacher"]["score"]["utterances"] == 5
    assert len(systems["teacher"]["utterances"]) == 5


def test_voices_are_compared_if_asked_for(manifest: Path, tmp_path: Path) -> None:
    flags = ["--manifest", str(manifest), "--output", str(tmp_path), "--modes", "teacher", "stream"]
    assert run("evaluate", *flags, "--speaker_encoder", "toy") == 0
    table = (tmp_path / "results.md").read_text()
    assert "| utterances without error | speaker similarity |" in table
    systems = json.loads((tmp_path / "results.json").read_text())["systems"]
    assert systems["teacher"]["speaker_similarity"] == pytest.approx(1.0)
    # Nothing is left of the lone digits, so there is no voice either.
    assert systems["stream"]["speaker_similarity"] == pytest.approx(21 / 24)


def test_text_that_is_not_of_digits_is_counted_in_words(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def retell(cut: MonoCut) -> MonoCut:
        return fastcopy(cut, supervisions=[fastcopy(cut.supervisions[0], text="It's Mr. Steels!")])

    save_cuts(load_cuts(manifest).map(retell), tmp_path / "cuts.jsonl.gz")
    heard = {"It is mister Steel.": 1, "it is mister Steels": 0}
    for transcript, errors in heard.items():
        monkeypatch.setattr(
            "sled.transcribe.Transcriber",
            lambda *a, t=transcript, **k: lambda *a: t,
        )
        flags = ["--manifest", str(tmp_path / "cuts.jsonl.gz"), "--output", str(tmp_path / "out")]
        assert run("evaluate", *flags, "--modes", "teacher", "--limit", "2") == 0
        score = json.loads((tmp_path / "out" / "results.json").read_text())["systems"]["teacher"]
        assert (score["unit"], score["by_length"]) == ("word", {})
        assert score["error_rate"] == pytest.approx(errors / 4)
        assert "word error rate" in (tmp_path / "out" / "results.md").read_text()


@pytest.mark.parametrize("flag", ["--limit", "--batch_size"])
def test_counts_below_one_are_refused(
    manifest: Path, tmp_path: Path, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ("--output", tmp_path / "new")
    assert run("evaluate", "--manifest", manifest, *output, flag, 0) == 2
    assert f"{flag} 0: give 1 or more" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_batches_change_neither_texts_nor_seeds(manifest: Path, batch_size: int) -> None:
    cuts = list(load_cuts(manifest))
    tts = ToyTTS()
    options = DecodingOptions(cfg=1.5)
    synthesis = speak_whole(cuts, tts, options, layout=Layout(), seed=7, batch_size=batch_size)  # type: ignore[arg-type]

    assert len(synthesis.waveforms) == len(cuts) and synthesis.synthesis_s is not None
    assert [text for call in tts.calls for text in call["texts"]] == [text_of(c) for c in cuts]
    seeds = [call["seeds"] + i for call in tts.calls for i in range(len(call["texts"]))]
    assert seeds == list(range(7, 7 + len(cuts)))
    assert all(call["options"] is options and call["prompts"] is None for call in tts.calls)


def test_live_speech_says_the_same_and_stalls_of_the_player_are_counted(
    manifest: Path, tmp_path: Path
) -> None:
    """Written fast, nothing is waited for; written slowly, every word is."""
    cuts = sorted(load_cuts(manifest), key=lambda cut: len(text_of(cut)))[-1:]
    sizes = {"stream_n": 1, "stream_m": 9, "max_position_embeddings": 1024}
    tts = TTS.from_pretrained(debug_checkpoint(tmp_path, **sizes))
    options = DecodingOptions(stop_threshold=2.0, max_frames=60)
    told = speak_whole(cuts, tts, options, seed=3)
    live = [
        speak_live(cuts, tts, options, characters_per_second=speed, seed=3)
        for speed in (float("inf"), 6.0)
    ]
    for synthesis in live:
        for ours, theirs in zip(synthesis.waveforms, told.waveforms, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert told.underruns is None
    assert live[1].underruns is not None and live[1].underruns > 0


def test_clones_continue_another_recording_of_usable_length(manifest: Path) -> None:
    cuts = list(load_cuts(manifest))
    tts = ToyTTS()
    speak_whole(cuts, tts, DecodingOptions(), layout=Layout(), clone=True, batch_size=7)  # type: ignore[arg-type]

    prompts = [prompt for call in tts.calls for prompt in call["prompts"]]
    assert len(prompts) == len(cuts)
    for cut, prompt, chosen in zip(cuts, prompts, choose_prompts(cuts), strict=True):
        assert chosen.id != cut.id
        assert prompt.text == text_of(chosen) and 3 <= len(prompt.text.split()) <= 5
        assert np.array_equal(prompt.audio, chosen.load_audio()[0])


def test_a_checkpoint_can_be_judged_in_its_own_layout(manifest: Path, tmp_path: Path) -> None:
    flags = ["--manifest", str(manifest), "--output", str(tmp_path)]
    assert run("evaluate", *flags, "--modes", "model", "stream", "offline") == 0
    systems = json.loads((tmp_path / "results.json").read_text())["systems"]
    model, stream, offline = (
        systems[name]["utterances"] for name in ("model", "stream", "offline")
    )
    assert model == stream != offline


def test_cloning_needs_two_possible_prompts(manifest: Path) -> None:
    lone_digits = [cut for cut in load_cuts(manifest) if " " not in text_of(cut)]
    with pytest.raises(ValueError, match="larger test set"):
        choose_prompts(lone_digits)


def test_no_prompt_is_longer_than_the_model_can_continue(manifest: Path) -> None:
    cuts = list(load_cuts(manifest))
    longest_s = max(cut.duration for cut in choose_prompts(cuts))
    limit_s = longest_s - 0.01
    assert all(cut.duration <= limit_s for cut in choose_prompts(cuts, limit_s))
    with pytest.raises(ValueError, match="words in at most 0.1 s"):
        choose_prompts(cuts, 0.1)


def test_codec_speech_is_as_long_as_the_recording(manifest: Path) -> None:
    cuts = list(load_cuts(manifest))
    synthesis = speak_through_codec(cuts, ToyCodec())  # type: ignore[arg-type]
    for cut, waveform in zip(cuts, synthesis.waveforms, strict=True):
        np.testing.assert_array_equal(waveform, cut.load_audio()[0])
