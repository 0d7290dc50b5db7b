"""Readers of each form of corpus; they agree with Lhotse's readers where there are some."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from lhotse import CutSet, RecordingSet, SupervisionSet
from lhotse.kaldi import load_kaldi_data_dir
from lhotse.recipes.libritts import prepare_libritts
from lhotse.recipes.ljspeech import prepare_ljspeech

from sled.data.corpora.detect import read_recordings
from sled.data.corpora.items import Item, Rejected, Utterance
from sled.data.corpora.jsonl import read_jsonl
from sled.data.corpora.kaldi import read_kaldi
from sled.data.corpora.libriheavy import read_libriheavy
from sled.data.corpora.libritts import read_libritts
from sled.data.corpora.metadata_csv import read_metadata_csv
from sled.data.manifests import load_cuts, read_texts
from tests.commands import run
from tests.debug import debug_waveform

RATE = 16_000
KATHLEEN = Path(__file__).parents[4] / "shared" / "data" / "kathleen" / "manifest.jsonl"


def write_audio(path: Path, seconds: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, debug_waveform(seconds, sample_rate=RATE), RATE)


def utterances(items: Iterable[Item]) -> list[Utterance]:
    """Items that must all be utterances."""
    found = list(items)
    assert all(isinstance(item, Utterance) for item in found), found
    return [item for item in found if isinstance(item, Utterance)]


def summary(cuts: CutSet) -> dict[str, tuple[Any, ...]]:
    """The relevant properties of cuts, by id."""
    return {
        cut.supervisions[0].id: (
            round(cut.start, 3),
            round(cut.duration, 3),
            cut.sampling_rate,
            cut.supervisions[0].text,
            cut.supervisions[0].speaker,
            cut.load_audio().tobytes(),
        )
        for cut in cuts
    }


def lhotse_summary(recordings: RecordingSet, supervisions: SupervisionSet) -> dict[str, Any]:
    cuts = CutSet.from_manifests(recordings=recordings, supervisions=supervisions)
    return summary(cuts.trim_to_supervisions())


# Libriheavy

OFFICIAL: dict[str, Any] = {
    "id": "small/100/sea_64kb_mp3/01_sea_0",
    "start": 0.25,
    "duration": 1.5,
    "channel": 0,
    "supervisions": [
        {
            "id": "small/100/sea_64kb_mp3/01_sea_0",
            "recording_id": "small/100/sea_64kb_mp3/01_sea",
            "start": 0,
            "duration": 1.5,
            "channel": 0,
            "language": "English",
            "speaker": "100",
            "custom": {
                "texts": ["“Dive,” she asked.", "DIVE SHE ASKED"],
                "pre_texts": ["...we are poor, mortal folk.", "...WE ARE POOR MORTAL FOLK"],
                "begin_byte": 4993,
                "end_byte": 5120,
            },
        }
    ],
    "recording": {
        "id": "small/100/sea_64kb_mp3/01_sea",
        "sources": [
            {
                "type": "file",
                "channels": [0],
                "source": "download/librilight/small/100/sea_64kb_mp3/01_sea.flac",
            }
        ],
        "sampling_rate": RATE,
        "num_samples": 32_000,
        "duration": 2.0,
        "channel_ids": [0],
    },
    "custom": {"text_path": "download/librilight_text/Sea/text.txt"},
    "type": "MonoCut",
}
BARE: dict[str, Any] = {
    "id": "sea_1",
    "start": 0.5,
    "duration": 1,
    "supervisions": [{"text": "She dived."}],
    "recording": {
        "sources": [{"source": "small/100/sea_64kb_mp3/01_sea.flac"}],
        "sampling_rate": RATE,
    },
}


def write_jsonl(path: Path, *lines: dict[str, Any] | str) -> Path:
    text = "".join((json.dumps(x) if isinstance(x, dict) else x) + "\n" for x in lines)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize(
    ("variant", "text"), [("cased", "“Dive,” she asked."), ("normalized", "DIVE SHE ASKED")]
)
def test_official_libriheavy_lines(tmp_path: Path, variant: str, text: str) -> None:
    recording = tmp_path / "data" / OFFICIAL["recording"]["sources"][0]["source"]
    write_audio(recording, 2.0)
    (tmp_path / "lists").mkdir()
    manifest = write_jsonl(tmp_path / "lists" / "libriheavy_cuts_small.jsonl.gz", OFFICIAL)
    flags = ("--audio_dir", tmp_path / "data", "--text", variant, "--output", tmp_path)
    assert run("prepare libriheavy", "--input", manifest, *flags) == 0
    [cut] = load_cuts(tmp_path / "cuts_train.jsonl.gz")
    assert (cut.id, cut.start, cut.duration) == (OFFICIAL["id"], 0.25, 1.5)
    assert (cut.supervisions[0].text, cut.supervisions[0].speaker) == (text, "100")
    expected, _ = soundfile.read(recording, dtype="float32")
    assert (cut.load_audio()[0] == expected[4_000:28_000]).all()


def test_bare_libriheavy_lines(tmp_path: Path) -> None:
    manifest = write_jsonl(tmp_path / "cuts.jsonl", BARE)
    [one] = utterances(read_libriheavy([manifest], None, "cased"))
    audio = "small/100/sea_64kb_mp3/01_sea"
    assert one == Utterance(
        "sea_1", tmp_path / f"{audio}.flac", "She dived.", 0.5, 1.0, recording_id=audio
    )
    [none] = read_libriheavy([manifest], None, "normalized")
    assert isinstance(none, Rejected) and "--text cased" in none.detail


def changed(**changes: object) -> dict[str, Any]:
    return {key: value for key, value in {**BARE, **changes}.items() if value is not None}


MALFORMED = [
    changed(supervisions=None),
    changed(supervisions=[]),
    changed(supervisions=[{"text": "a"}, {"text": "b"}]),
    changed(supervisions=[{}]),
    changed(supervisions=[{"text": None}]),
    changed(supervisions=[{"custom": {"texts": []}}]),
    changed(supervisions=[{"custom": "texts"}]),
    changed(duration="long"),
    changed(start=10**400),
    changed(recording={"sources": [{"source": 7}]}),
    # Lhotse would run this.
    changed(recording={"sources": [{"type": "command", "source": "touch pwned"}]}),
    "{broken",
    '["a list"]',
    100_000 * "[",
]


@pytest.mark.parametrize("line", MALFORMED, ids=lambda line: str(line)[:60])
def test_lines_that_make_no_sense_do_not_end_the_run(tmp_path: Path, line: Any) -> None:
    manifest = write_jsonl(tmp_path / "cuts.jsonl", line, "", BARE)
    bad, good = read_libriheavy([manifest], None, "cased")
    assert isinstance(bad, Rejected) and bad.reason == "malformed"
    assert "line 1 of" in bad.detail
    assert isinstance(good, Utterance)


# LibriTTS


def test_libritts_as_lhotse_reads_it(tmp_path: Path) -> None:
    texts = {
        "84_121123_000007_000001": ("“Maximilian.”", "“Maximilian.”"),
        "84_121123_000008_000000": ("He had £5.", "He had five pounds."),
    }
    chapter = tmp_path / "LibriTTS" / "dev-clean" / "84" / "121123"
    for index, name in enumerate(texts):
        write_audio(chapter / f"{name}.wav", 1.0 + index / 2)
    lines = [f"{name}\t{original}\t{plain}" for name, (original, plain) in texts.items()]
    (chapter / "84_121123.trans.tsv").write_text("\n".join(lines), encoding="utf-8")
    (chapter / "._84_121123.trans.tsv").write_bytes(b"\0\xff")
    book = [f"{line}\t0.0\t20.0" for line in lines]
    (chapter / "84_121123.book.tsv").write_text("\n".join(book), encoding="utf-8")

    theirs = prepare_libritts(tmp_path / "LibriTTS", dataset_parts="dev-clean")["dev-clean"]
    folder = tmp_path / "LibriTTS" / "dev-clean"
    assert run("prepare libritts", "--input", folder, "--output", tmp_path) == 0
    assert summary(load_cuts(tmp_path / "cuts_train.jsonl.gz")) == lhotse_summary(**theirs)

    original = utterances(read_libritts([tmp_path], "original"))
    assert [one.text for one in original] == [texts[name][0] for name in texts]


def test_libritts_lines_and_folders_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "1.trans.tsv").write_text("1_1\tonly one text\n")
    [bad] = read_libritts([tmp_path], "normalized")
    assert isinstance(bad, Rejected) and (bad.id, bad.reason) == ("1_1", "malformed")
    with pytest.raises(ValueError, match="no \\*.trans.tsv under"):
        read_libritts([tmp_path / "none"], "normalized")


# Kaldi


def write_kaldi(folder: Path, **tables: list[str]) -> Path:
    folder.mkdir()
    for name, lines in tables.items():
        file = folder / ("wav.scp" if name == "wav" else name)
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("segments", "names"),
    [
        (None, ["rec1", "rec2"]),
        (["a rec1 0.5 1.25", "b rec1 1.25 -1", "c rec2 0 1.0"], ["a", "b", "c"]),
    ],
)
def test_kaldi_folders_as_lhotse_reads_them(
    tmp_path: Path, segments: list[str] | None, names: list[str]
) -> None:
    for name in ("rec1", "rec2"):
        write_audio(tmp_path / "in a folder" / f"{name}.flac", 2.0)
    folder = write_kaldi(
        tmp_path / "kaldi",
        wav=[f"{name} {tmp_path}/in a folder/{name}.flac" for name in ("rec1", "rec2")],
        text=[f"{name} 你好 to {name}" for name in names],
        utt2spk=[f"{name} speaker-{name}" for name in names],
        **({} if segments is None else {"segments": segments}),
    )
    recordings, supervisions, _ = load_kaldi_data_dir(folder, sampling_rate=RATE)
    assert run("prepare kaldi", "--input", folder, "--output", tmp_path) == 0
    ours = summary(load_cuts(tmp_path / "cuts_train.jsonl.gz"))
    assert ours == lhotse_summary(recordings, supervisions)


@pytest.mark.parametrize("source", ["touch {} |", "touch {}|  ", "| touch {}"])
def test_kaldi_commands_are_refused_and_not_run(
    tmp_path: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pwned = tmp_path / "pwned"
    folder = write_kaldi(tmp_path / "kaldi", wav=[f"a {source.format(pwned)}"], text=["a hello"])
    assert run("prepare kaldi", "--input", folder, "--output", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "a is the output of a command" in error
    assert not pwned.exists() and not (tmp_path / "out").exists()


def test_kaldi_utterances_that_lack_something(tmp_path: Path) -> None:
    folder = write_kaldi(
        tmp_path / "kaldi",
        wav=["rec rec.wav"],
        text=["good some words", "blank", "alone some words", "lost words", "odd some words"],
        segments=[
            "good rec 0 1",
            "blank rec 1 2",
            "lost none 0 1",
            "odd rec 0 one",
            "mute rec 0 1",
        ],
    )
    good, blank, *rejected = read_kaldi(folder, audio_dir=tmp_path)
    assert good == Utterance(
        "good", tmp_path / "rec.wav", "some words", 0.0, 1.0, recording_id="rec"
    )
    assert isinstance(blank, Utterance) and blank.text == ""  # the checks turn it away
    assert [(item.id, item.reason) for item in rejected if isinstance(item, Rejected)] == [
        ("alone", "malformed"),
        ("lost", "missing_audio"),
        ("odd", "malformed"),
        ("mute", "empty_text"),
    ]


def test_kaldi_recordings_named_twice_are_refused(tmp_path: Path) -> None:
    folder = write_kaldi(tmp_path / "kaldi", wav=["a 1.wav", "a 2.wav"], text=["a b"])
    with pytest.raises(ValueError, match="names a twice"):
        read_kaldi(folder)


# JSON lines


def test_json_lines_with_either_keys(tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "corpus.jsonl.gz",
        {"wav": "a/one.wav", "txt": "One."},
        {"id": "2", "audio": "/b/two.ogg", "text": "Two.", "speaker": 7, "duration": 3},
        {"wav": "a/one.wav", "txt": "Part.", "start": 1.5, "duration": 2},
        {"wav": "a/one.wav"},
        {"txt": "One."},
        {"wav": 3, "txt": "One."},
    )
    *good, silent, deaf, odd = read_jsonl([path])
    one = tmp_path / "a" / "one.wav"
    assert good == [
        Utterance("a/one", one, "One.", recording_id="a/one"),
        Utterance("2", Path("/b/two.ogg"), "Two.", 0.0, 3.0, "7", "/b/two"),
        Utterance("a/one@1.5", one, "Part.", 1.5, 2.0, recording_id="a/one"),
    ]
    for item, word in [(silent, "neither txt nor text"), (deaf, "neither wav"), (odd, "string")]:
        assert isinstance(item, Rejected) and word in item.detail
    [moved] = utterances(read_jsonl([write_jsonl(tmp_path / "b.jsonl", BARE_JSON)], Path("/data")))
    assert moved.audio == Path("/data/x.wav")


BARE_JSON = {"wav": "x.wav", "txt": "X."}


@pytest.mark.parametrize("name", ["none.jsonl", "latin.jsonl", "text.jsonl.gz", "half.jsonl.gz"])
def test_files_that_are_no_json_lines_end_the_run_in_one_line(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "latin.jsonl").write_bytes('{"wav": "é"}\n'.encode("latin-1"))
    (tmp_path / "text.jsonl.gz").write_text("plain")
    whole = gzip.compress(json.dumps({"txt": debug_waveform(0.1).tolist()}).encode())
    (tmp_path / "half.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    assert run("prepare jsonl", "--input", tmp_path / name, "--output", tmp_path / "o") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and name in error


@pytest.mark.skipif(not KATHLEEN.is_file(), reason="that corpus is not here")
def test_a_real_corpus_of_repeated_prompts(tmp_path: Path) -> None:
    lines = KATHLEEN.read_text(encoding="utf-8").splitlines()[:60]
    manifest = tmp_path / "first.jsonl"
    manifest.write_text("\n".join(lines), encoding="utf-8")
    flags = ("--audio_dir", KATHLEEN.parent, "--valid_count", 10, "--output", tmp_path)
    assert run("prepare jsonl", "--input", manifest, *flags) == 0
    texts = {
        split: list(read_texts(tmp_path / f"cuts_{split}.jsonl.gz")) for split in ("train", "valid")
    }
    assert len(texts["train"]) + len(texts["valid"]) == 60 and len(texts["valid"]) >= 10
    assert not set(texts["train"]) & set(texts["valid"])


# metadata.csv


def test_ljspeech_as_lhotse_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "LJSpeech-1.1"
    rows = [
        ("LJ001-0001", 'He said "Printing', 'He said "Printing'),
        ("LJ001-0002", "in 1984.", "in nineteen eighty-four."),
    ]
    for name, _, _ in rows:
        write_audio(folder / "wavs" / f"{name}.wav")
    (folder / "metadata.csv").write_text("".join("|".join(row) + "\n" for row in rows))

    theirs = prepare_ljspeech(folder)
    flags = ("--text_column", 2, "--output", tmp_path)
    assert run("prepare metadata-csv", "--input", folder, *flags) == 0
    assert summary(load_cuts(tmp_path / "cuts_train.jsonl.gz")) == lhotse_summary(**theirs)

    spoken = utterances(read_metadata_csv(folder))
    assert [one.text for one in spoken] == [row[2] for row in rows]


# Lines, and the names and texts that are read; None for a line that is left out.
METADATA: list[tuple[list[str], list[tuple[str, str] | None]]] = [
    # spaces around fields
    ([" one | The garden was quiet. "], [("one", "The garden was quiet.")]),
    # names with folder or suffix, or both
    (["wavs/one|A."], [("wavs/one", "A.")]),
    (["wavs/one.wav|A."], [("wavs/one", "A.")]),
    (["./wavs/one.wav|A."], [("wavs/one", "A.")]),
    (["wavs\\one.wav|A."], [("wavs\\one", "A.")]),
    (["one.wav|A."], [("one", "A.")]),
    (["deep/two|B."], [("deep/two", "B.")]),
    # a | in the text: clear with two columns, not with three
    (
        ["deep/two|B.", "one|He said: | is a bar."],
        [("deep/two", "B."), ("one", "He said: | is a bar.")],
    ),
    (["one|5|five", "deep/two|6|six", "one|a|b|c"], [("one", "five"), ("deep/two", "six"), None]),
    (["one|5|five", "deep/two|6|six", "one|seven"], [("one", "five"), ("deep/two", "six"), None]),
    # quotation marks are text
    (['one|"Yes," she said.'], [("one", '"Yes," she said.')]),
    (["one"], [None]),
]


@pytest.mark.parametrize(("lines", "read"), METADATA)
def test_lines_of_metadata(
    lines: list[str], read: list[tuple[str, str] | None], tmp_path: Path
) -> None:
    for name in ("one", "deep/two"):
        write_audio(tmp_path / "wavs" / f"{name}.wav")
    (tmp_path / "metadata.csv").write_text("\n".join(lines), encoding="utf-8")
    items = read_metadata_csv(tmp_path)
    assert [(item.id, item.text) if isinstance(item, Utterance) else None for item in items] == read
    for item in items:
        assert isinstance(item, Rejected) or item.audio.is_file()


@pytest.mark.parametrize(
    ("line", "word"),
    [("one.wav,A, b.", "by commas"), ("one\tA.", "by tabs"), ("one;A, b.", "by semicolons")],
)
def test_another_separator_is_refused_with_the_right_one(
    line: str, word: str, tmp_path: Path
) -> None:
    (tmp_path / "metadata.csv").write_text(f"{line}\n" * 2)
    with pytest.raises(ValueError, match=f"{word}: separate them by \\|"):
        read_metadata_csv(tmp_path)


def test_silent_recordings_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_audio(tmp_path / "one.wav")
    stereo = np.stack([debug_waveform(1.0), -debug_waveform(1.0)], axis=1)
    soundfile.write(tmp_path / "inverted.wav", stereo, 24_000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    lines = "".join(f"{name}|Some words.\n" for name in ("one", "inverted", "silent"))
    (tmp_path / "metadata.csv").write_text(lines)
    assert run("prepare metadata-csv", "--input", tmp_path, "--output", tmp_path) == 0
    output = capsys.readouterr().out
    assert "train: 2 utterances" in output and "rejected: 1 (silent_audio 1)" in output


def test_a_folder_in_the_place_of_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_jsonl(tmp_path / "corpus.jsonl", BARE_JSON)
    assert run("prepare jsonl", "--input", tmp_path, "--output", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert f"is a folder: name the file in it, such as {tmp_path}/corpus.jsonl" in error


def test_other_metadata_files(tmp_path: Path) -> None:
    write_audio(tmp_path / "b.v2.flac")
    path = tmp_path / "list.csv"
    path.write_text("a.wav|anna|Hello.\n\nb.v2|ben|你好。\r\nc\nd|dan|Bye.\n", encoding="utf-8")
    a, b, c, d = read_metadata_csv(path, speaker_column=2)
    assert a == Utterance("a", tmp_path / "a.wav", "Hello.", speaker="anna")
    assert b == Utterance("b.v2", tmp_path / "b.v2.flac", "你好。", speaker="ben")
    assert isinstance(c, Rejected) and "1 columns, not 3" in c.detail
    assert isinstance(d, Utterance) and d.audio == tmp_path / "d.wav"  # the checks miss it
    with pytest.raises(ValueError, match="--text_column 1"):
        read_metadata_csv(path, text_column=1)


@pytest.mark.parametrize(
    ("suffix", "named"),
    [(".WAV", "one"), (".Wav", "one"), (".FLAC", "one"), (".WAV", "one.wav"), (".wav", "one.WAV")],
)
def test_suffixes_may_be_in_capitals(tmp_path: Path, suffix: str, named: str) -> None:
    """Recorders for Windows write them so, and lists name the files otherwise."""
    write_audio(tmp_path / f"one{suffix}", 1.0)
    (tmp_path / "metadata.csv").write_text(f"{named}|What it says.\n")
    [item] = utterances(read_metadata_csv(tmp_path))
    assert item.audio == tmp_path / f"one{suffix}" and item.id == "one"


@pytest.mark.parametrize("name", ["one.txt", "one.TXT", "one.Lab", "one.NORMALIZED.TXT"])
def test_suffixes_of_text_files_may_be_in_capitals(tmp_path: Path, name: str) -> None:
    write_audio(tmp_path / "one.WAV", 1.0)
    (tmp_path / name).write_text("What it says.")
    [item] = utterances(read_recordings(tmp_path))
    assert (item.id, item.text) == ("one", "What it says.")
