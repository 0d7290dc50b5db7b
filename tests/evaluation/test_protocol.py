"""Protocols: every one that comes with the package, and lists of the form that others publish."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sled.evaluation.items import Item, with_beginning_as_prompt
from sled.evaluation.judges import JudgeSettings
from sled.evaluation.modes import MODES
from sled.evaluation.protocol import Protocol, load_protocol, protocol_names, read_items
from sled.evaluation.published import published_figures
from sled.evaluation.wordings import WORDINGS, choose_wording
from sled.evaluation.words import align_text
from sled.files.audio import write_audio

RATE = 16_000
HARD = {"numbers", "dates", "names", "abbreviations", "addresses", "code", "repeated"}
HARD |= {"single words", "letters", "mixed case"}


def write_tone(path: Path, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(round(seconds * RATE)) / RATE
    write_audio(path, 0.5 * np.sin(2 * np.pi * 300 * times), RATE)


@pytest.mark.parametrize("name", protocol_names())
def test_protocols_of_the_package_are_sound(name: str) -> None:
    protocol, _ = load_protocol(name)
    assert protocol.name == name and protocol.about
    assert set(protocol.modes) <= MODES.keys()
    assert protocol.normaliser in WORDINGS
    assert JudgeSettings().with_protocol(protocol.judges, [])
    if {"texts", "lines"}.isdisjoint(protocol.items):
        assert "github.com" in protocol.needs or "openslr" in protocol.needs


def test_hard_texts_have_twelve_of_each_class_and_readings_that_agree() -> None:
    protocol, folder = load_protocol("hard-text")
    items = read_items(protocol, folder)
    assert {item.kind for item in items} == HARD
    assert all(sum(item.kind == kind for item in items) == 12 for kind in HARD)
    wording = choose_wording(protocol.normaliser, [])
    for item in items:
        assert all(wording.split(reading) for reading in item.references)
        for reading in item.references:
            assert align_text(item.references, reading, wording).errors == 0
            assert not any(char.isdigit() for char in reading), reading


def test_published_figures_name_protocols_and_sources() -> None:
    figures = published_figures()
    assert {one.protocol for one in figures} <= set(protocol_names())
    assert all("arXiv" in one.source or "." in one.source for one in figures)
    assert published_figures("hard-text") == []


def test_a_cross_sentence_list_gives_texts_prompts_and_recordings(tmp_path: Path) -> None:
    lines = [
        "1-2-0003\t1.5\tShe is wild.\t1-2-0000\t4.07\tOut in the woods.",
        "7-8-0001\t2\tHe waited.\t7-9-0002\t12.5\tToo long a text.",
    ]
    (tmp_path / "list.lst").write_text("\n".join(lines) + "\n")
    for name, seconds in {"1/2/1-2-0003": 1.5, "1/2/1-2-0000": 4.07}.items():
        write_tone(tmp_path / "clean" / f"{name}.flac", seconds)
    source = {"cross_sentence_list": "list.lst", "recordings": "clean"}
    items = read_items(Protocol("test", source, prompt="listed"), tmp_path)
    first, second = items
    assert (first.id, first.text, first.speaker) == ("1-2-0000", "Out in the woods.", "1")
    assert first.prompt is not None and first.prompt.text == "She is wild."
    assert len(first.prompt.load(RATE)) == 1.5 * RATE
    assert second.recording is not None and second.recording.duration_s == 12.5
    kept = read_items(Protocol("test", {**source, "max_s": 10.0}), tmp_path)
    assert [(item.id, item.prompt) for item in kept] == [("1-2-0000", None)]
    (tmp_path / "list.lst").write_text("1-2-0003\t1.5\n")
    with pytest.raises(ValueError, match="line 1: 2 fields"):
        read_items(Protocol("test", source), tmp_path)


def test_recordings_that_differ_have_names_that_differ(tmp_path: Path) -> None:
    """Judges know a recording by its name."""
    lines = ["a|Said.|alice/ref.wav|One.", "b|Said.|bob/ref.wav|Two."]
    (tmp_path / "meta.lst").write_text("\n".join(lines))
    items = read_items(Protocol("test", {"seed_tts_list": "meta.lst"}, prompt="listed"), tmp_path)
    assert len({item.prompt.name for item in items if item.prompt is not None}) == 2
    write_tone(tmp_path / "a.wav", 4.0)
    parts = [{"start": 0, "duration": 1.0}, {"start": 2, "duration": 1.5}, {"duration": 4.0}]
    entries = [
        {"id": str(n), "text": "one", "audio": "a.wav", **one} for n, one in enumerate(parts)
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, entries)))
    items = read_items(Protocol("test", {"jsonl": "m.jsonl"}), tmp_path)
    recordings = [item.recording for item in items if item.recording is not None]
    assert len({one.name for one in recordings}) == 3
    assert [len(one.load(RATE)) / RATE for one in recordings] == [1.0, 1.5, 4.0]


def test_a_seed_tts_list_gives_texts_and_prompts(tmp_path: Path) -> None:
    lines = ["a|Said before.|wavs/p.wav|To say.", "b|Said.|wavs/p.wav|More.|wavs/b.wav"]
    (tmp_path / "meta.lst").write_text("\n".join(lines))
    write_tone(tmp_path / "wavs" / "p.wav", 1.0)
    first, second = read_items(
        Protocol("test", {"seed_tts_list": "meta.lst"}, prompt="listed"), tmp_path
    )
    assert (first.id, first.text, first.recording) == ("a", "To say.", None)
    assert first.prompt is not None and len(first.prompt.load(RATE)) == RATE
    assert second.recording is not None


def test_the_beginning_of_a_recording_is_a_prompt_and_its_words_count(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav", 4.0)
    entry = {"id": "a", "text": "one two three four", "audio": "a.wav", "duration": 4.0}
    entries = [entry, {**entry, "id": "b", "duration": 2.0}]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, entries)))
    protocol = Protocol("test", {"jsonl": "m.jsonl"}, prompt="beginning", prompt_s=3.0)
    (item,) = read_items(protocol, tmp_path)  # the other is too short
    assert (item.text, item.references) == ("four", ("one two three four",))
    assert item.prompt is not None and item.prompt.text == "one two three"
    assert len(item.prompt.load(RATE)) == 3 * RATE
    assert with_beginning_as_prompt(Item("x", "no recording"), 3.0) is None


def test_the_digest_names_what_is_said_and_who_judges(tmp_path: Path) -> None:
    def digest(text: str = "one", judges: tuple[str, ...] = ("words: 1",), **fields: Any) -> str:
        protocol = Protocol("test", {"texts": {"": [text]}}, **fields)
        return protocol.digest(read_items(protocol, tmp_path), judges)

    assert digest() == digest(about="explained", modes=("stream",), seeds=1)
    others = [digest("two"), digest(judges=("words: 2",)), digest(normaliser="english")]
    assert len({digest(), *others}) == 4


def test_texts_can_be_taken_once_and_in_steps(tmp_path: Path) -> None:
    entries = [{"id": str(n), "text": f"text {n // 2}"} for n in range(8)]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, entries)))
    source = {"jsonl": "m.jsonl", "each_text_once": True, "every": 2}
    assert [item.id for item in read_items(Protocol("test", source), tmp_path)] == ["0", "4"]
    assert len(read_items(Protocol("test", source), tmp_path, limit=1)) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"items": {"texts": {}}}, "there is no item"),
        ({"items": {}}, "items need one of"),
        ({"items": {"lines": "none.txt"}}, "download it, and name its folder with --data"),
        ({"items": {"texts": {}}, "prompt": "spoken"}, "'spoken': choose one of none"),
        ({"items": {"texts": {}}, "judge": 1}, "is not a protocol"),
        ({"items": {"texts": {"../..": ["x"]}}}, "cannot be the name of a file"),
    ],
)
def test_broken_protocols_are_refused(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(fields))
    with pytest.raises(ValueError, match=message):
        read_items(*load_protocol(str(path)))


def test_a_name_that_is_nearly_one_is_helped() -> None:
    with pytest.raises(ValueError, match="did you mean hard-text"):
        load_protocol("hard-texts")
