"""Kaldi folders: written from any corpus, and read again."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sled.data.corpora.items import Rejected, Utterance
from sled.data.manifests import load_cuts
from sled.data.tokens.extraction import extract, on_threads, read_speech
from sled.data.tokens.folder import (
    DEFAULT_SPEAKER,
    read_any_corpus,
    read_audio_paths,
    read_folder,
    write_folder,
)
from sled.data.tokens.pack import write_parquet
from tests.commands import run
from tests.debug import SAMPLE_RATE, debug_waveform


def recording(folder: Path, name: str, seconds: float = 1.0) -> Path:
    path = folder / f"{name}.wav"
    soundfile.write(path, 0.1 * np.ones(round(16_000 * seconds)), 16_000)
    return path


def test_a_corpus_is_read_as_it_was_written(tmp_path):
    items = [
        Utterance("anna/one", recording(tmp_path, "one"), "What  it\tsays.", speaker="anna s"),
        Utterance("two", recording(tmp_path, "two"), "More."),
    ]
    assert write_folder(items, tmp_path / "kaldi") == []
    first, second = read_folder(tmp_path / "kaldi")
    assert (first.id, first.text, first.speaker) == ("anna_one", "What it says.", "anna_s")
    assert (second.id, second.speaker) == ("two", DEFAULT_SPEAKER)
    assert first.audio == tmp_path / "one.wav" and first.instruct is None
    assert (tmp_path / "kaldi" / "spk2utt").read_text().split() == [
        *("anna_s", "anna_one", DEFAULT_SPEAKER, "two")
    ]


def test_a_part_of_a_recording_becomes_a_recording(tmp_path):
    long = recording(tmp_path, "long", seconds=3.0)
    items = [
        Utterance("part", long, "A part.", start_s=1.0, duration_s=0.5),
        Utterance("late", long, "After the end.", start_s=4.0, duration_s=0.5),
    ]
    [rejected] = write_folder(items, tmp_path / "kaldi")
    assert (rejected.id, rejected.reason) == ("late", "unusable_audio")
    [part] = read_folder(tmp_path / "kaldi")
    assert soundfile.info(part.audio).duration == 0.5
    os.utime(part.audio, ns=(1, 1))
    write_folder(items, tmp_path / "kaldi")
    assert part.audio.stat().st_mtime_ns == 1  # it has not changed for those that read it


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*.wav")}


def test_no_recording_is_ever_written_over(tmp_path):
    """Parts are written into a folder that holds the recordings, under the names of these."""
    audio = tmp_path / "audio"
    audio.mkdir()
    paths = [recording(audio, name, seconds=2.0) for name in ("one", "two")]
    before = contents(tmp_path)
    items = [
        Utterance("one", paths[0], "Of itself.", start_s=0.5, duration_s=1.0),
        Utterance("two", paths[0], "Of another.", duration_s=1.0),
    ]
    assert write_folder(items, tmp_path) == []
    assert before.items() <= contents(tmp_path).items()
    assert [soundfile.info(one.audio).duration for one in read_folder(tmp_path)] == [1.0, 1.0]


def test_parts_are_kept_unless_their_recording_or_their_times_have_changed(tmp_path, monkeypatch):
    long = recording(tmp_path, "long", seconds=3.0)
    items = [
        Utterance(name, long, "Text.", start_s=start, duration_s=0.5)
        for name, start in (("a", 0.0), ("b", 1.0))
    ]
    folder = tmp_path / "kaldi"
    written: list[str] = []
    stop_at = {"b"}
    write = soundfile.write

    def write_or_stop(path, *args, **kwargs):
        written.append(path.name[0])
        if path.name[0] in stop_at:
            path.write_bytes(b"RIFF")
            raise KeyboardInterrupt
        write(path, *args, **kwargs)

    def durations(items):
        """What the folder holds; `written` has what was written for it."""
        written.clear()
        assert write_folder(items, folder) == []
        return [soundfile.info(one.audio).duration for one in read_folder(folder)]

    monkeypatch.setattr(soundfile, "write", write_or_stop)
    with pytest.raises(KeyboardInterrupt):
        write_folder(items, folder)
    stop_at.clear()
    assert durations(items) == [0.5, 0.5] and written == ["b"]
    items[0] = replace(items[0], duration_s=0.75)
    assert durations(items) == [0.75, 0.5] and written == ["a"]
    recording(tmp_path, "long", seconds=4.0)
    assert durations(items) == [0.75, 0.5] and written == ["a", "b"]


def test_a_kaldi_folder_is_not_written_over_itself(tmp_path, capsys):
    write_folder([Utterance("one", recording(tmp_path, "one"), "Text.")], tmp_path / "kaldi")
    flags = ("--input", tmp_path / "kaldi", "--output", tmp_path / "kaldi")
    assert run("prepare kaldi-folder", *flags) == 2
    assert "name another --output" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["prepare kaldi", "prepare kaldi-folder", "prepare recordings"])
def test_a_folder_that_was_written_is_read_by_every_command(command, tmp_path, monkeypatch):
    """Its paths start from the working directory, as the input was named."""
    monkeypatch.chdir(tmp_path)
    Path("corpus").mkdir()
    audio = recording(Path("corpus"), "one")
    soundfile.write(audio, debug_waveform(1.0), SAMPLE_RATE)
    Path("corpus/one.txt").write_text("What it says.")
    assert run("prepare kaldi-folder", "--input", "corpus", "--output", "kaldi") == 0
    assert run(command, "--input", "kaldi", "--output", "out") == 0
    if command == "prepare kaldi-folder":
        audio_of = [one.audio for one in read_folder(Path("out"))]
    else:
        cuts = load_cuts("out/cuts_train.jsonl.gz")
        audio_of = [Path(cut.recording.sources[0].source) for cut in cuts]
    assert [path.resolve() for path in audio_of] == [audio.resolve()]


def test_names_that_are_not_utf_8_are_left_out(tmp_path):
    """Python writes the bytes of such a name as lone surrogates; JSON lines may hold others."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    good = recording(folder, "good")
    for name in (good.name.encode(), b"caf\xe9.wav"):
        (tmp_path / "corpus" / os.fsdecode(name)).with_suffix(".txt").write_text("What it says.")
    shutil.copy(good, folder / os.fsdecode(b"caf\xe9.wav"))
    output = tmp_path / "kaldi"
    assert run("prepare kaldi-folder", "--input", folder, "--output", output) == 0
    assert [one.id for one in read_folder(output)] == ["good"]
    [rejected] = map(json.loads, (output / "rejected.jsonl").read_text().splitlines())
    assert (rejected["id"], rejected["reason"]) == ("caf\udce9", "broken_text")

    lines = [{"wav": str(good), "txt": text} for text in ("Fine.", "Half \ud83d.")]
    lines.append({"id": "half \udfff", "wav": str(good), "txt": "Fine."})
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("\n".join(map(json.dumps, lines)))
    rejected = write_folder(read_any_corpus(corpus), output)
    assert [one.reason for one in rejected] == ["broken_text", "broken_text"]
    assert [one.text for one in read_folder(output)] == ["Fine."]


def test_recordings_without_texts_are_taken_if_none_are_needed(tmp_path):
    lines = [json.dumps({"wav": str(recording(tmp_path, name))}) for name in ("one", "two")]
    lines.append(json.dumps({"wav": str(recording(tmp_path, "three")), "txt": "Three."}))
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("\n".join(lines))
    output = tmp_path / "kaldi"
    rejected = write_folder(read_any_corpus(corpus, False), output, needs_text=False)
    assert rejected == []
    assert [one.text for one in read_folder(output)] == ["", "", "Three."]
    rejected = write_folder(read_any_corpus(corpus), output)
    assert [one.reason for one in rejected] == ["malformed", "malformed"]
    assert [one.text for one in read_folder(output)] == ["Three."]


def test_what_the_form_cannot_hold_is_left_out_with_a_reason(tmp_path):
    spaced = tmp_path / "with space"
    spaced.mkdir()
    one = recording(tmp_path, "one")
    items = [
        Utterance("a/b", one, "Kept."),
        Utterance("a b", one, "The same name."),
        Utterance("blank", one, " "),
        Utterance("lost", tmp_path / "none.wav", "No audio."),
        Utterance("spaced", recording(spaced, "two"), "White space."),
        Rejected("broken", "malformed", "no line"),
    ]
    reasons = {item.id: item.reason for item in write_folder(items, tmp_path / "kaldi")}
    assert reasons == {
        "a b": "duplicate_id",
        "blank": "empty_text",
        "lost": "missing_audio",
        "spaced": "missing_audio",
        "broken": "malformed",
    }
    with pytest.raises(ValueError, match="lost: no file"):
        write_folder(items[3:4], tmp_path / "kaldi2")


@pytest.mark.parametrize("kind", ["low rate", "m4a", "empty"])
def test_audio_that_training_would_refuse_is_refused_at_each_step_before(kind, tmp_path):
    good = [Utterance(n, recording(tmp_path, n), "Kept.") for n in ("one", "two")]
    write_folder(good, tmp_path / "kaldi")
    bad = good[1].audio
    if kind == "m4a":
        bad.write_bytes(b"\0\0\0 ftypM4A \0\0\0\0M4A mp42isom")
    else:
        samples = np.zeros(0 if kind == "empty" else 8_000)
        soundfile.write(bad, samples, 16_000 if kind == "empty" else 8_000)
    reason = {"low rate": "8000 Hz, under 16000", "m4a": "cannot be read", "empty": "is empty"}
    [rejected] = write_folder(good, tmp_path / "again")
    assert (rejected.id, rejected.reason) == ("two", "unusable_audio")
    paths = read_audio_paths(tmp_path / "kaldi")
    output = tmp_path / "table.pt"
    extracted = extract(
        paths, on_threads(lambda path: np.array([len(read_speech(path))])), output, "model"
    )
    packed = write_parquet(tmp_path / "kaldi", tmp_path / "parquet", skip_bad=True)
    assert list(extracted.rows) == ["one"] and packed.utterances == 1
    for told in (rejected.detail, extracted.rejected["two"], packed.rejected["two"]):
        assert reason[kind] in told
    with pytest.raises(ValueError, match="two: its audio .*--on_bad skip"):
        write_parquet(tmp_path / "kaldi", tmp_path / "parquet")


@pytest.mark.parametrize(
    ("file", "content", "word"),
    [
        ("text", "other Text.\n", "no line for one"),
        ("utt2spk", "", "no line for one"),
        ("wav.scp", "one sox one.wav |\n", "commands are not run"),
        ("wav.scp", "\n", "names no recordings"),
        ("wav.scp", "one a.wav\none b.wav\n", "names one twice"),
    ],
)
def test_a_folder_that_is_not_complete_is_refused(file, content, word, tmp_path):
    write_folder([Utterance("one", recording(tmp_path, "one"), "Text.")], tmp_path / "kaldi")
    (tmp_path / "kaldi" / file).write_text(content)
    with pytest.raises(ValueError, match=word):
        read_folder(tmp_path / "kaldi")


def test_relative_paths_start_from_the_working_directory_or_the_folder(tmp_path, monkeypatch):
    write_folder([Utterance("one", recording(tmp_path, "one"), "Text.")], tmp_path)
    (tmp_path / "wav.scp").write_text("one one.wav\n")
    [one] = read_folder(tmp_path)
    assert one.audio == tmp_path / "one.wav"
    monkeypatch.chdir(tmp_path)
    assert one.audio == Path("one.wav")


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (["174/50561/174_50561_000006.wav"], [("174_50561_000006", "174")]),
        (["anna/one.wav", "ben/one.wav"], [("anna_one", "anna"), ("ben_one", "ben")]),
        (["anna_one.wav", "two.wav"], [("anna_one", "anna"), ("two", DEFAULT_SPEAKER)]),
    ],
)
def test_names_and_speakers_are_those_of_the_files(files, wanted, tmp_path):
    """LibriTTS, folders of speakers, and a flat folder."""
    for file in files:
        path = tmp_path / "corpus" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        recording(path.parent, path.stem)
        path.with_suffix(".normalized.txt").write_text("What it says.\n")
    write_folder(read_any_corpus(tmp_path / "corpus"), tmp_path / "kaldi")
    assert [(one.id, one.speaker) for one in read_folder(tmp_path / "kaldi")] == wanted
