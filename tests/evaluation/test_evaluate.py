"""The whole evaluation, with a toy teacher, toy models and a recogniser of their tones."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from lhotse import MonoCut
from lhotse.utils import fastcopy

from sled.data.manifests import load_cuts, save_cuts
from sled.data.synthetic.digits import DIGIT_WORDS, prepare_digits
from sled.decoding import DecodingOptions
from sled.evaluation.items import Item, choose_prompts, item_of_cut
from sled.evaluation.systems import CodecSystem, Models
from sled.evaluation.systems.model import ModelSettings, speak_live, speak_whole
from sled.model.config import Config
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
        self.model = SimpleNamespace(layout=Layout(5, 45), streaming_layout=Layout(5, 45))
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
            SimpleNamespace(
                audio=say(text) if text else np.zeros(0, np.float32), stopped=True, joints=()
            )
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
    monkeypatch.setattr("sled.evaluation.systems.model.TTS", toy_tts)
    monkeypatch.setattr("sled.transcribe.Transcriber", ToneListener)
    monkeypatch.setattr(
        "sled.evaluation.judges.similarity.load_speaker_encoder", lambda name, device: toy_encoder
    )


@pytest.fixture(scope="module")
def items(manifest: Path) -> list[Item]:
    return [item_of_cut(cut) for cut in load_cuts(manifest)]


def systems_of(folder: Path) -> dict[str, Any]:
    """The figures of each system by name, and its utterances."""
    results = json.loads((folder / "results.json").read_text())
    return {
        name: {
            **{key: one["value"] for key, one in system["figures"].items()},
            **{key: system[key] for key in ("words", "errors", "by_kind", "utterances")},
        }
        for name, system in results["systems"].items()
    }


def test_every_mode_is_scored(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--save_audio", "--seeds", 2, "--batch_size", 5]
    assert run("evaluate", "--manifest", manifest, "--output", tmp_path, *flags) == 0

    systems = systems_of(tmp_path)
    assert list(systems) == ["teacher", "codec", "offline", "stream", "clone"]
    for name in ("teacher", "codec", "offline", "clone"):
        assert systems[name]["error_rate"] == 0 and systems[name]["exact_rate"] == 1
        assert systems[name]["early"] == systems[name]["late"] == 0
    stream = systems["stream"]
    assert stream["errors"] == 2 * 24  # one digit of every string, twice
    assert stream["deletions"] == stream["error_rate"] == pytest.approx(48 / stream["words"])
    assert stream["substitutions"] == stream["insertions"] == 0
    assert stream["early"] == pytest.approx(3 / 24)  # of lone digits nothing is left
    by_kind = stream["by_kind"]
    assert list(by_kind)[:2] == ["1 digit", "2 digits"]
    assert by_kind["1 digit"] == {"texts": 3, "words": 6, "errors": 6, "error_rate": 1.0}
    assert systems["teacher"]["duration_ratio"] == 1.0
    assert "real_time_factor" not in systems["teacher"]
    assert systems["offline"]["real_time_factor"] > 0
    for name, repetitions in {"teacher": 1, "clone": 2}.items():  # a seed does not change the first
        assert len(list((tmp_path / "audio" / name).glob("*/*.flac"))) == 24 * repetitions

    table = (tmp_path / "results.md").read_text()
    assert table.strip() in capsys.readouterr().out
    rate = 48 / stream["words"]
    assert f"| stream | {rate:.1%} [" in table and f"| 48 / {stream['words']} |" in table
    differences = json.loads((tmp_path / "results.json").read_text())["comparisons"]
    (pair,) = (one for one in differences if (one["first"], one["second"]) == ("offline", "stream"))
    assert pair["difference"] == pytest.approx(rate) and pair["probability_second_better"] == 0


def test_limit_and_modes_narrow_the_run(manifest: Path, tmp_path: Path) -> None:
    flags = ["--manifest", str(manifest), "--output", str(tmp_path)]
    assert run("evaluate", *flags, "--limit", "5", "--modes", "teacher") == 0
    systems = systems_of(tmp_path)
    assert list(systems) == ["teacher"] and len(systems["teacher"]["utterances"]) == 5


def test_a_folder_takes_more_systems_but_no_other_test(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--manifest", manifest, "--output", tmp_path / "out", "--limit", 4]
    assert run("evaluate", *flags, "--modes", "offline") == 0
    folder = tmp_path / "theirs"
    for cut in list(load_cuts(manifest))[:4]:
        folder.mkdir(exist_ok=True)
        soundfile.write(folder / f"{cut.id}.wav", say(cut.supervisions[0].text), 24_000)
    assert run("evaluate", *flags, "--system", f"peer={folder}") == 0
    systems = systems_of(tmp_path / "out")
    assert list(systems) == ["offline", "peer"] and systems["peer"]["error_rate"] == 0
    assert run("evaluate", *flags, "--modes", "offline", "--cfg", 3) == 2
    assert "speech of offline with another options" in capsys.readouterr().err
    assert run("evaluate", *flags, "--modes", "offline", "--limit", 5) == 2
    assert "holds another run, with digest" in capsys.readouterr().err


def test_voices_are_compared_if_asked_for(manifest: Path, tmp_path: Path) -> None:
    flags = ["--manifest", str(manifest), "--output", str(tmp_path), "--modes", "teacher", "stream"]
    assert run("evaluate", *flags, "--speaker_encoder", "toy", "--seeds", 1) == 0
    table = (tmp_path / "results.md").read_text()
    assert "| texts without error | speaker similarity |" in table
    systems = systems_of(tmp_path)
    assert systems["teacher"]["speaker_similarity"] == pytest.approx(1.0)
    # Nothing is left of the lone digits, so there is no voice either.
    assert systems["stream"]["speaker_similarity"] == pytest.approx(21 / 24)
    assert systems["stream"]["speaker_similarity_codec"] == pytest.approx(21 / 24)


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
        output = tmp_path / str(errors)
        flags = ["--manifest", str(tmp_path / "cuts.jsonl.gz"), "--output", str(output)]
        assert run("evaluate", *flags, "--modes", "teacher", "--limit", "2") == 0
        teacher = systems_of(output)["teacher"]
        assert teacher["by_kind"] == {} and teacher["error_rate"] == pytest.approx(errors / 4)
        assert "word error rate" in (output / "results.md").read_text()


@pytest.mark.parametrize("flag", ["--limit", "--batch_size", "--seeds"])
def test_counts_below_one_are_refused(
    manifest: Path, tmp_path: Path, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ("--output", tmp_path / "new")
    assert run("evaluate", "--manifest", manifest, *output, flag, 0) == 2
    assert f"{flag} 0: give 1 or more" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_items_without_recordings_have_no_teacher(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--protocol", "hard-text", "--limit", 2, "--output", tmp_path]
    assert run("evaluate", *flags, "--modes", "teacher") == 2
    assert "has no recording: leave out the modes" in capsys.readouterr().err


def test_live_speech_says_the_same_and_stalls_of_the_player_are_counted(
    items: list[Item], tmp_path: Path
) -> None:
    """Written fast, nothing is waited for; written slowly, every word is."""
    item = max(items, key=lambda one: len(one.text))
    sizes = {"stream_n": 1, "stream_m": 9, "max_position_embeddings": 1024}
    tts = TTS.from_pretrained(debug_checkpoint(tmp_path, **sizes))
    options = DecodingOptions(stop_threshold=2.0, max_frames=60)
    (told,) = speak_whole(tts, [item], [3], options, None, [None])
    live = [speak_live(tts, item, 3, options, speed) for speed in (float("inf"), 6.0)]
    for one in live:
        np.testing.assert_allclose(one.audio, told.audio, atol=1e-4)
        assert one.joints and one.joints[-1] < len(one.audio) and one.first_audio_s is not None
    assert told.stalls is None and live[1].stalls is not None and live[1].stalls > 0


def test_clones_continue_another_recording_of_usable_length(items: list[Item]) -> None:
    models = Models(ModelSettings(), items)
    tts = models.load(None)
    models.system("clone").speak(items, range(len(items)))
    prompts = [prompt for call in tts.calls for prompt in call["prompts"]]  # type: ignore[attr-defined]
    assert len(prompts) == len(items)
    for item, prompt, chosen in zip(items, prompts, choose_prompts(items), strict=True):
        assert chosen.name != item.id
        assert prompt.text == chosen.text and 3 <= len(prompt.text.split()) <= 5
        assert np.array_equal(prompt.audio, chosen.load(24_000))


def test_a_checkpoint_can_be_judged_in_its_own_layout(manifest: Path, tmp_path: Path) -> None:
    flags = ["--manifest", str(manifest), "--output", str(tmp_path), "--limit", "6"]
    assert run("evaluate", *flags, "--modes", "model", "stream", "offline") == 0
    heard = {
        name: [one["heard"] for one in system["utterances"]]
        for name, system in systems_of(tmp_path).items()
    }
    assert heard["model"] == heard["stream"] != heard["offline"]


def test_a_clone_continues_its_own_speaker_if_there_is_another_recording(items: list[Item]) -> None:
    usable = [item for item in items if 3 <= len(item.text.split()) <= 5][:5]
    speakers = ("anna", "ben", "anna", "ben", "carla")
    several = [replace(one, speaker=name) for one, name in zip(usable, speakers, strict=True)]
    chosen = [clip.name for clip in choose_prompts(several)]
    names = [one.recording.name for one in several if one.recording is not None]
    assert chosen[:4] == [names[2], names[3], names[0], names[1]]
    assert chosen[4] in names[:4]


def test_cloning_needs_two_possible_prompts(items: list[Item]) -> None:
    with pytest.raises(ValueError, match="larger test set"):
        choose_prompts([item for item in items if " " not in item.text])


def test_no_prompt_is_longer_than_the_model_can_continue(items: list[Item]) -> None:
    longest_s = max(clip.duration_s or 0.0 for clip in choose_prompts(items))
    limit_s = longest_s - 0.01
    assert all((clip.duration_s or 0.0) <= limit_s for clip in choose_prompts(items, limit_s))
    with pytest.raises(ValueError, match="words in at most 0.1 s"):
        choose_prompts(items, 0.1)


def test_codec_speech_is_as_long_as_the_recording(items: list[Item]) -> None:
    system = CodecSystem(lambda: ToyCodec(), {})  # type: ignore[arg-type, return-value]
    for item, spoken in zip(items, system.speak(items, [0] * len(items)), strict=True):
        assert item.recording is not None
        np.testing.assert_array_equal(spoken.audio, item.recording.load(24_000))


def test_a_sweep_names_the_best_setting_and_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """This model says everything rightly from 4 draws on."""

    class Careless(ToyTTS):
        def synthesize(self, texts: list[str], layout: Layout | None, **call: Any) -> Any:
            if call["options"].draws < 4:
                texts = [text.rpartition(" ")[0] for text in texts]
            return super().synthesize(texts, layout, **call)

    careless = SimpleNamespace(from_pretrained=lambda name, **kwargs: Careless())
    monkeypatch.setattr("sled.evaluation.systems.model.TTS", careless)
    protocol = tmp_path / "digits.yaml"
    protocol.write_text('items: {texts: {"": ["one two", "three four five", "six seven"]}}')
    model = debug_checkpoint(tmp_path / "model")
    flags = ["--draws", 1, 4, "--temperature", 0.5, 1, "--protocol", protocol, "--write"]
    assert run("sweep", "--model", model, *flags, "--output", tmp_path / "out") == 0
    best = capsys.readouterr().out.rpartition("best: ")[2].split()[0]
    assert "draws-4" in best
    speaking = Config.load(model).speaking
    assert speaking.draws == 4 and f"temperature-{speaking.temperature:g}_" in best
    picture = (tmp_path / "out" / "sweep.svg").read_text()
    assert picture.count("<circle") == 4 and picture.count("<polyline") == 2
    assert run("sweep", "--output", tmp_path / "out") == 2
    assert "there is nothing to try: give --cfg" in capsys.readouterr().err
