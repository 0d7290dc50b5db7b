"""The English corpus: readings of each speaker, held-out sentences, and resumption."""

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sled.cli.prepare.english import piper_name
from sled.data.corpora.splits import sentence_key
from sled.data.manifests import load_cuts
from sled.data.synthetic.english import (
    CHARACTERS_PER_SECOND,
    EnglishOptions,
    draw_readings,
    prepare_english,
)
from sled.data.synthetic.made_sentences import make_sentence
from sled.data.synthetic.readings import Reading
from sled.data.synthetic.teachers import Teacher
from sled.normalization import normalize
from tests.commands import run
from tests.debug import SAMPLE_RATE, debug_waveform

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
PITCHES_HZ = {"heart": 300, "anna": 500, "ben": 700}


@pytest.fixture
def options(tmp_path: Path) -> EnglishOptions:
    """A few sentences, and a folder with recordings of a person."""
    lines = [f"Sentence {first} {second}." for first in WORDS for second in WORDS]
    (tmp_path / "texts.txt").write_text("\n".join(lines))
    (tmp_path / "test.txt").write_text("Sentence one one.\nQuite another one.\n")
    person = tmp_path / "carol"
    person.mkdir()
    with (person / "manifest.jsonl").open("w") as manifest:
        for index, text in enumerate(["I spoke.", "I spoke.", "Twice.", "sentence TWO two"]):
            soundfile.write(person / f"{index}.wav", debug_waveform(0.2, index), SAMPLE_RATE)
            manifest.write(f'{{"id": "r/{index}", "audio": "{index}.wav", "text": "{text}"}}\n')
    return EnglishOptions(
        texts=tmp_path / "texts.txt",
        test_texts=tmp_path / "test.txt",
        hours=0.02,
        voices=("anna", "ben"),
        voice_hours=0.01,
        recordings=person / "manifest.jsonl",
        held_out="carol",
        num_valid=6,
    )


def teachers(said: list[str] | None = None) -> Callable[[str], Teacher]:
    """Tones with a pitch for each voice; longer texts have longer tones."""

    def teacher(name: str) -> Teacher:
        def read(text: str, seed: int) -> np.ndarray:
            if said is not None:
                said.append(text)
            times = np.arange(100 * len(text)) / SAMPLE_RATE
            return np.sin(2 * np.pi * PITCHES_HZ[name] * times)

        return read

    return teacher


def contents(folder: Path) -> dict[str, list[tuple[str, str, str]]]:
    """Id, speaker and text of the cuts of each split."""
    return {
        path.name.split("_")[1].split(".")[0]: [
            (cut.id, cut.supervisions[0].speaker, cut.supervisions[0].text)
            for cut in load_cuts(path)
        ]
        for path in folder.glob("cuts_*")
    }


@pytest.mark.parametrize("held_out", ["carol", "ben", None])
def test_what_is_held_out_is_nowhere_in_training(held_out, options, tmp_path):
    prepare_english(tmp_path / "out", replace(options, held_out=held_out), teachers())
    splits = contents(tmp_path / "out")
    assert splits.keys() == {"train", "valid", "test", *(["clone"] if held_out else [])}
    trained = " ".join(sentence_key(text) for _, _, text in splits["train"])
    speakers = {speaker for _, speaker, _ in splits["train"]}
    assert speakers == {"heart", "anna", "ben", "carol"} - {held_out}
    for split in splits.keys() - {"train"}:
        # Pieces of held-out sentences are words that others have too.
        texts = [text for id_, _, text in splits[split] if "piece" not in id_]
        keys = [sentence_key(text) for text in texts]
        assert len(set(keys)) == len(keys)
        assert not [key for key in keys if key in trained]
    if held_out:
        assert {speaker for _, speaker, _ in splits["clone"]} == {held_out}
    assert {speaker for _, speaker, _ in splits["test"]} == {"heart"}


def test_sentences_that_occur_again_or_in_parts_do_not_leak(options, tmp_path):
    """In other letters, as a single word, and as two that are read one after the other."""
    lines = options.texts.read_text().splitlines()
    again = [line.upper() for line in lines] + [line.replace(".", " !") for line in lines]
    lines += [*again, *40 * ["Stop.", "Go on.", "Yes we can."]]
    options.texts.write_text("\n".join(lines))
    options.test_texts.write_text("Yes!\nStop; go on.\n")
    changed = replace(options, hours=0.5, joined_share=0.9, made_share=0.0, held_out=None)
    splits = draw_readings(changed, {})
    held_out = [reading.text for split in ("valid", "test") for reading in splits[split]]
    held_out = [text for text in held_out if text[-1] in ".!"]  # pieces are words of others, too
    keys = set(map(sentence_key, held_out))
    assert len(keys) == len([r for r in splits["valid"] if "piece" not in r.id]) + 2 == 8
    trained = {sentence_key(text) for r in splits["train"] for text in (*r.parts, r.text)}
    assert not keys & trained
    assert {"stop", "goon", "yeswecan", "goonstop"} <= trained


def test_the_same_sentence_again_does_not_count_as_one_more(options):
    options.texts.write_text("One.\nTwo.\nTWO!\none\n")
    with pytest.raises(ValueError, match="has 2 sentences to train on: 2 are to be held out"):
        draw_readings(replace(options, num_valid=2), {})


def test_texts_without_words_are_refused_instead_of_searched_forever(options):
    options.texts.write_text("".join(f"{number}!\n" for number in range(20)))
    with pytest.raises(ValueError, match="no words in the texts"):
        draw_readings(options, {})


def read_alone(train: list[Reading], speaker: str) -> tuple[list[str], list[str], list[str]]:
    """The words, pieces and sentences of a book that a speaker reads."""
    texts = [reading.text for reading in train if reading.speaker == speaker]
    sentences = [text for text in texts if text.endswith(".")]
    short = [text for text in texts if not text.endswith(".")]
    words = [text for text in short if " " not in text]
    return words, [text for text in short if " " in text], sentences


def seconds_of(texts: list[str]) -> float:
    return sum(0.25 + len(text) / CHARACTERS_PER_SECOND for text in texts)


def test_every_speaker_has_about_the_hours_asked_for(options):
    changed = replace(options, hours=1.0, voice_hours=0.5, held_out="ben", joined_share=0.0)
    train = draw_readings(changed, {})["train"]
    for speaker, hours in (("heart", 1.0), ("anna", 0.5)):
        texts = [reading.text for reading in train if reading.speaker == speaker]
        assert seconds_of(texts) == pytest.approx(3600 * hours, rel=0.01)


def test_words_pieces_and_sentences_share_the_hours_as_asked_for(options, tmp_path):
    numbers = [f"{a} {b} {c}" for a in WORDS for b in WORDS for c in WORDS]
    (tmp_path / "texts.txt").write_text("".join(f"Put {n} and {n} and {n}.\n" for n in numbers))
    changed = replace(options, hours=2.0, word_share=0.2, piece_share=0.3, made_share=0.0)
    train = draw_readings(replace(changed, voices=(), held_out=None), {})["train"]
    words, pieces, sentences = read_alone(train, "heart")
    assert set(words) == {*WORDS, "and", "Put"}  # a word that is never in lower case is a name
    assert seconds_of(words) == pytest.approx(0.2 * 7200, rel=0.02)
    # A piece with the end of its sentence has the full stop as well.
    whole = [text for text in sentences if text.startswith("Put ")]
    assert seconds_of(whole) == pytest.approx(0.5 * 7200, rel=0.05)
    assert {len(text.split()) for text in pieces} == set(range(2, 11))


def test_the_kinds_of_readings_are_mixed(options):
    """Training estimates durations from the first cuts, and reads cuts in this order."""
    train = draw_readings(replace(options, hours=1.0, held_out=None), {})["train"]
    lengths = [len(r.text) for r in train if r.speaker == "heart"]
    half = len(lengths) // 2
    assert np.mean(lengths[:half]) == pytest.approx(np.mean(lengths[half:]), rel=0.1)


def test_shares_of_made_and_joined_sentences_are_as_asked_for(options):
    changed = replace(options, hours=2.0, word_share=0.0, piece_share=0.0, voices=())
    changed = replace(changed, made_share=0.3, joined_share=0.5, held_out=None)
    train = draw_readings(changed, {})["train"]
    texts = [part for reading in train for part in reading.parts]
    made = [text for text in texts if not text.startswith("Sentence ")]
    assert len(made) / len(texts) == pytest.approx(0.3, abs=0.03)
    assert sum(len(r.parts) for r in train) / len(train) == pytest.approx(1.5, abs=0.06)


def test_texts_stay_as_written_and_are_read_as_said(options, tmp_path):
    said: list[str] = []
    (tmp_path / "test.txt").write_text("Mr. Smith paid $5.\n")
    prepare_english(tmp_path / "out", options, teachers(said))
    assert [text for *_, text in contents(tmp_path / "out")["test"]] == ["Mr. Smith paid $5."]
    assert "mister Smith paid five dollars." in said
    assert not [text for text in said if any(char.isdigit() for char in text)]


def test_recordings_keep_their_words_and_become_like_the_others(options, tmp_path):
    prepare_english(tmp_path / "out", replace(options, held_out=None), teachers())
    cuts = {cut.id: cut for cut in load_cuts(tmp_path / "out" / "cuts_train.jsonl.gz")}
    cut = cuts["r-1"]
    assert cut.supervisions[0].text == "I spoke."
    assert cut.sampling_rate == SAMPLE_RATE
    assert cut.recording.sources[0].source.endswith("r-1.flac")


@pytest.fixture
def short(options: EnglishOptions) -> EnglishOptions:
    """A corpus that is made fast."""
    return replace(options, hours=0.001, voice_hours=0.001, num_valid=1)


def test_a_recording_may_be_a_part_of_a_file(short, tmp_path):
    person = short.recordings.parent
    times = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    pitches = np.where(times < 1, 200, np.where(times < 2, 400, 800))
    soundfile.write(person / "long.wav", 0.3 * np.sin(2 * np.pi * pitches * times), SAMPLE_RATE)
    lines = [{"audio": "long.wav", "text": f"Part {start}.", "start": start} for start in range(3)]
    for line in lines[:2]:
        line["duration"] = 1.0
    short.recordings.write_text("\n".join(map(json.dumps, lines)))
    prepare_english(tmp_path / "out", short, teachers())
    cuts = {
        cut.supervisions[0].text: cut for cut in load_cuts(tmp_path / "out/cuts_clone.jsonl.gz")
    }
    for start, pitch_hz in enumerate((200, 400, 800)):
        spoken = cuts[f"Part {start}."].load_audio()[0]
        spectrum = np.abs(np.fft.rfft(spoken))
        assert spectrum.argmax() * SAMPLE_RATE / len(spoken) == pytest.approx(pitch_hz, rel=0.02)
        assert len(spoken) < 1.5 * SAMPLE_RATE

    lines[1]["duration"] = 2.5
    short.recordings.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(ValueError, match="long@1 is from 1 s for 2.5 s in a recording of 3 s"):
        prepare_english(tmp_path / "again", short, teachers())


def change_texts(options: EnglishOptions) -> str:
    options.texts.write_text(options.texts.read_text().replace("one two.", "two two."))
    return "the contents of texts"


def change_test_texts(options: EnglishOptions) -> str:
    options.test_texts.write_text("Another.\n")
    return "the contents of test_texts"


def change_recordings(options: EnglishOptions) -> str:
    lines = options.recordings.read_text().splitlines()
    options.recordings.write_text("\n".join(lines[::-1]))
    return "the contents of recordings"


def change_audio(options: EnglishOptions) -> str:
    soundfile.write(options.recordings.parent / "1.wav", debug_waveform(0.3, 9), SAMPLE_RATE)
    return "the contents of recordings"


@pytest.mark.parametrize(
    "change", [change_texts, change_test_texts, change_recordings, change_audio]
)
@pytest.mark.parametrize("is_complete", [True, False])
def test_a_corpus_of_other_texts_or_recordings_is_refused(change, is_complete, short, tmp_path):
    """Otherwise it would keep the audio of the earlier texts, by number."""
    prepare_english(tmp_path / "out", short, teachers())
    if not is_complete:
        (tmp_path / "out" / "cuts_test.jsonl.gz").unlink()
    what = change(short)
    with pytest.raises(ValueError, match=f"other settings .*{what}.*delete this one"):
        prepare_english(tmp_path / "out", short, teachers())


def test_only_a_complete_corpus_of_an_older_version_is_taken(short, tmp_path):
    """Its settings do not tell what the files held."""
    prepare_english(tmp_path / "out", short, teachers())
    path = tmp_path / "out" / "settings.json"
    settings = json.loads(path.read_text())
    del settings["contents"]
    path.write_text(json.dumps(settings))
    prepare_english(tmp_path / "out", short, teachers())
    with pytest.raises(ValueError, match="other settings .settings.json: hours.:"):
        prepare_english(tmp_path / "out", replace(short, hours=3.0), teachers())
    # What it began with may have other texts under the same numbers.
    (tmp_path / "out" / "cuts_test.jsonl.gz").unlink()
    with pytest.raises(ValueError, match="beginning of a corpus of an older version"):
        prepare_english(tmp_path / "out", short, teachers())


def test_a_complete_corpus_needs_its_texts_and_recordings_no_more(short, tmp_path):
    manifests = prepare_english(tmp_path / "out", short, teachers())
    short.texts.unlink()
    shutil.rmtree(short.recordings.parent)
    assert prepare_english(tmp_path / "out", short, teachers()) == manifests


def test_recordings_with_the_same_id_are_refused(short, tmp_path):
    lines = ['{"id": "a/1", "audio": "0.wav", "text": "A."}']
    lines.append('{"id": "a-1", "audio": "1.wav", "text": "B."}')
    short.recordings.write_text("\n".join(lines))
    with pytest.raises(ValueError, match="two recordings a-1"):
        prepare_english(tmp_path / "out", short, teachers())


def test_an_interrupted_run_goes_on_with_the_same_corpus(options, tmp_path):
    whole, again = tmp_path / "whole", tmp_path / "again"
    prepare_english(whole, options, teachers())
    calls: list[str] = []

    def tiring(name: str) -> Teacher:
        read = teachers(calls)(name)

        def stop(text: str, seed: int) -> np.ndarray:
            if len(calls) == 20:
                raise KeyboardInterrupt
            return read(text, seed)

        return stop

    with pytest.raises(KeyboardInterrupt):
        prepare_english(again, options, tiring)
    assert 0 < len(list((again / "audio").iterdir())) <= 20
    prepare_english(again, options, teachers(calls))
    assert contents(again) == contents(whole)
    for path in (whole / "audio").iterdir():
        assert path.read_bytes() == (again / "audio" / path.name).read_bytes()
    with pytest.raises(ValueError, match="other settings"):
        prepare_english(again, replace(options, seed=1), teachers())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"made_share": 1.0}, "--made_share 1"),
        ({"word_share": 0.5, "piece_share": 0.5}, "nothing for sentences"),
        ({"hours": 0.0}, "more than 0"),
        ({"num_valid": 0}, "--num_valid 0"),
        ({"held_out": "dora"}, "--held_out dora.*anna ben carol"),
        ({"held_out": "heart"}, "--held_out heart"),
    ],
)
def test_what_cannot_be_is_refused(change, message, options):
    with pytest.raises(ValueError, match=message):
        replace(options, **change)


def test_too_few_sentences_are_refused(options, tmp_path):
    with pytest.raises(ValueError, match="100 are to be held out"):
        draw_readings(replace(options, num_valid=100), {})


def test_voices_need_their_model(options, tmp_path, capsys):
    flags = ("--output", tmp_path / "out", "--texts", options.texts)
    flags += ("--test_texts", options.test_texts, "--voices", "af_bella")
    assert run("prepare english", *flags) == 2
    assert "--kokoro_model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "name"),
    [("en_US-joe-medium.onnx", "joe"), ("de_DE-thorsten_emotional-high.onnx", "thorsten_emotional")]
    + [("mine.onnx", "mine")],
)
def test_a_voice_of_piper_is_named_by_its_file(file, name):
    assert piper_name(Path("voices") / file) == name


def test_a_file_that_is_no_voice_of_piper_is_refused(options, tmp_path, capsys):
    pytest.importorskip("piper")
    (tmp_path / "en_US-joe-medium.onnx").write_bytes(b"no model")
    flags = ("--output", tmp_path / "out", "--texts", options.texts)
    flags += ("--test_texts", options.test_texts, "--num_valid", 6)
    assert run("prepare english", *flags, "--piper_models", tmp_path / "en_US-joe-medium.onnx") == 2
    assert "cannot open" in capsys.readouterr().err


def test_made_sentences_hold_what_books_lack():
    rng = random.Random(0)
    made = [make_sentence(rng) for _ in range(2000)]
    assert len(set(made)) > 1500
    assert not [text for text in made if "{" in text or not text.isprintable()]
    for sign in ("?", "$", "%", ":", "Mr.", ","):
        assert sum(sign in text for text in made) > 20
    assert min(map(len, made)) < 6 and 100 < max(map(len, made)) < 220
    said = [normalize(text, "english") for text in made]
    assert not [text for text in said if any(c.isdigit() or c in "$%&#" for c in text)]
