"""From items to manifests: complete or absent, reproducible, with a report."""

import dataclasses
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import CutSet

from sled.data.corpora import parts
from sled.data.corpora.items import Item, Rejected, Utterance
from sled.data.corpora.options import CorpusOptions
from sled.data.corpora.prepare import Report, prepare_corpus
from sled.data.corpora.shar import write_shar
from sled.data.manifests import load_cuts, read_texts
from sled.text.tokenizer import TextTokenizer
from tests.commands import run
from tests.debug import debug_waveform

RATE = 16_000
ENGLISH = ["The café is open.", "It's half past nine — or is it?", "Come in, said the captive."]
MANDARIN = ["今天天气很好。", "我们去公园散步吧！", "他说：“你好”。"]


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    """Ten utterances of five sentences, and three bad items: no text, no audio, an invalid line."""
    made: list[Item] = []
    for index in range(10):
        path = tmp_path / f"{index}.wav"
        soundfile.write(path, debug_waveform(0.5, seed=index, sample_rate=RATE), RATE)
        made.append(Utterance(f"clip-{index}", path, f"Number {index % 5}."))
    made.insert(3, Utterance("blank", tmp_path / "0.wav", " "))
    made.insert(7, Utterance("absent", tmp_path / "none.wav", "Not there."))
    made.insert(9, Rejected("senseless", "malformed", "no JSON"))
    return made


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_SIZE", 4)


def prepare(
    items: Iterator[Item] | list[Item], folder: Path, num_workers: int = 0, **options: object
) -> Report:
    return prepare_corpus(items, folder, CorpusOptions(**options), options, num_workers)


def read(path: Path) -> str:
    return (gzip.open(path, "rt") if path.suffix == ".gz" else path.open()).read()


def contents(folder: Path) -> dict[str, str]:
    """Manifests and reports, by file name."""
    return {path.name: read(path) for path in folder.glob("*.json*")}


def test_good_items_are_cuts_and_bad_ones_are_reported(items: list[Item], tmp_path: Path) -> None:
    report = prepare(items, tmp_path / "out")

    cuts = load_cuts(tmp_path / "out" / "cuts_train.jsonl.gz")
    assert [cut.id for cut in cuts] == [f"clip-{index}" for index in range(10)]
    assert all(cut.load_audio().shape == (1, RATE // 2) for cut in cuts)
    assert report.utterances == {"train": 10}
    assert report.hours["train"] == pytest.approx(5 / 3600)
    assert report.rejected == {"empty_text": 1, "missing_audio": 1, "malformed": 1}

    lines = read(tmp_path / "out" / "rejected_train.jsonl").splitlines()
    rejected = [json.loads(line) for line in lines]
    assert [one["id"] for one in rejected] == ["blank", "absent", "senseless"]
    assert "none.wav" in rejected[1]["detail"]
    assert sorted(contents(tmp_path / "out")) == [
        "cuts_train.jsonl.gz",
        "rejected_train.jsonl",
        "report_train.json",
    ]
    fields = json.loads(read(tmp_path / "out" / "report_train.json"))
    assert fields["rejected"] == report.rejected


def test_only_the_first_of_an_id_is_kept(items: list[Item], tmp_path: Path) -> None:
    twin = Utterance("clip-1", tmp_path / "5.wav", "Another one.")
    report = prepare([*items, twin], tmp_path / "out")
    assert report.utterances["train"] == 10 and report.rejected["duplicate_id"] == 1
    assert "Another one." not in read_texts(tmp_path / "out" / "cuts_train.jsonl.gz")


def test_a_run_may_stop_at_the_first_bad_item(items: list[Item], tmp_path: Path) -> None:
    good = [item for item in items if isinstance(item, Utterance) and item.id.startswith("clip")]
    for bad, name in [(items[3], "blank"), (items[9], "senseless"), (good[0], "clip-0")]:
        with pytest.raises(ValueError, match=f"^{name}: .*--on_bad skip"):
            prepare([*good, bad], tmp_path / "out", on_bad="stop")
        assert not list((tmp_path / "out").glob("[!.]*"))
    assert prepare(good, tmp_path / "out", on_bad="stop").rejected == {}


def test_workers_change_nothing(items: list[Item], tmp_path: Path) -> None:
    alone = prepare(items, tmp_path / "out")
    expected = contents(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "alone")
    assert prepare(items, tmp_path / "out", num_workers=2) == alone
    assert contents(tmp_path / "out") == expected


def test_an_interrupted_run_goes_on_where_it_stopped(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = prepare(items, tmp_path / "out")
    whole = contents(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "whole")

    def interrupted() -> Iterator[Item]:
        yield from items[:10]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(interrupted(), tmp_path / "out")
    assert not list((tmp_path / "out").glob("[!.]*"))

    looked_at: list[str] = []
    check_item = parts.check_item

    def watch(item: Item, **settings: object) -> str | Rejected:
        looked_at.append(item.id)
        return check_item(item, **settings)

    monkeypatch.setattr(parts, "check_item", watch)
    assert prepare(items, tmp_path / "out") == expected
    assert contents(tmp_path / "out") == whole
    # Two parts of four were whole; of these only what was rejected is looked at again.
    assert looked_at == ["blank", "absent", *(item.id for item in items[8:])]


def test_mended_audio_is_found_when_a_failed_run_is_repeated(tmp_path: Path) -> None:
    items = [Utterance("late", tmp_path / "late.wav", "Here I am.")]
    with pytest.raises(ValueError, match="none of 1 items is usable, most for missing_audio"):
        prepare(items, tmp_path / "out")
    assert "late.wav" in read(tmp_path / "out" / "rejected_train.jsonl")
    soundfile.write(tmp_path / "late.wav", debug_waveform(0.5, sample_rate=RATE), RATE)
    assert prepare(items, tmp_path / "out").rejected == {}


def test_audio_that_changed_is_looked_at_again(items: list[Item], tmp_path: Path) -> None:
    """Also if the run has not come to its end, so that nothing is written of it yet."""

    def interrupted() -> Iterator[Item]:
        yield from items[:9]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(interrupted(), tmp_path / "out")
    first = next(item for item in items if isinstance(item, Utterance))
    soundfile.write(first.audio, debug_waveform(0.75, sample_rate=RATE), RATE)
    prepare(items, tmp_path / "out")
    cuts = {cut.id: cut for cut in load_cuts(tmp_path / "out" / "cuts_train.jsonl.gz")}
    assert cuts[first.id].duration == 0.75


def test_parts_of_a_corpus_that_changed_are_not_used(items: list[Item], tmp_path: Path) -> None:
    def interrupted() -> Iterator[Item]:
        yield from items[:9]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(interrupted(), tmp_path / "out")
    changed = [Utterance(item.id, tmp_path / "0.wav", "Changed.") for item in items]
    prepare(changed, tmp_path / "out")
    assert set(read_texts(tmp_path / "out" / "cuts_train.jsonl.gz")) == {"Changed."}


def test_a_finished_corpus_is_not_made_again(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = prepare(items, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(parts, "check_item", None)
        assert prepare(iter(items), tmp_path) == report
        with pytest.raises(ValueError, match="other settings"):
            prepare(items, tmp_path, seed=1)
    (tmp_path / "cuts_train.jsonl.gz").unlink()  # the advice given
    assert prepare(items, tmp_path, seed=1) == report


def test_a_corpus_that_has_changed_is_refused_or_made_again(
    items: list[Item], tmp_path: Path
) -> None:
    prepare(items, tmp_path)
    more = [*items, Utterance("more", tmp_path / "0.wav", "One more.")]
    edited = [*items[:-1], dataclasses.replace(items[-1], text="Another text.")]
    for changed in (more, items[:-1], edited, items[::-1]):
        with pytest.raises(ValueError, match="has changed since .*cuts_train.jsonl.gz was made"):
            prepare(iter(changed), tmp_path)
    report = prepare_corpus(more, tmp_path, CorpusOptions(), {}, replace=True)
    assert report.utterances["train"] == 11
    assert "One more." in read_texts(tmp_path / "cuts_train.jsonl.gz")
    assert prepare(more, tmp_path) == report


def test_reports_of_older_versions_do_not_tell_what_the_items_were(
    items: list[Item], tmp_path: Path
) -> None:
    report = prepare(items, tmp_path)
    path = tmp_path / "report_train.json"
    fields = json.loads(path.read_text())
    del fields["items"]
    path.write_text(json.dumps(fields))
    assert prepare(items[:-1], tmp_path) == report


def test_sentences_are_not_held_out_of_a_finished_corpus(items: list[Item], tmp_path: Path) -> None:
    """Its codes may have been made, and would still hold them."""
    prepare(items, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="cuts_train.jsonl.gz was made with other settings"):
        prepare(items, tmp_path, valid_count=2)
    assert contents(tmp_path) == before


def test_manifests_of_other_making_are_not_overwritten(items: list[Item], tmp_path: Path) -> None:
    prepare(items, tmp_path, split="valid")
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="cuts_valid.jsonl.gz exists"):
        prepare(items, tmp_path, split="train", valid_count=2)
    assert contents(tmp_path) == before
    prepare(items, tmp_path, split="train")
    assert before.items() <= contents(tmp_path).items()
    (tmp_path / "cuts_train.jsonl.gz").unlink()
    with pytest.raises(ValueError, match="cuts_valid.jsonl.gz exists"):
        prepare(items, tmp_path, split="train", valid_count=2)


def test_a_run_killed_while_it_finishes_is_repeated(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = prepare(items, tmp_path / "a", valid_count=2)
    whole = contents(tmp_path / "a")
    replace = os.replace

    def killed(source: Path, target: Path) -> None:
        if target.name == "cuts_valid.jsonl.gz":
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare(items, tmp_path / "b", valid_count=2)
    assert (tmp_path / "b" / "cuts_train.jsonl.gz").exists()
    assert prepare(items, tmp_path / "b", valid_count=2) == expected
    sources = [(tmp_path / name).as_posix() for name in ("a", "b")]
    assert whole == {
        name: text.replace(sources[1], sources[0])
        for name, text in contents(tmp_path / "b").items()
    }


@pytest.mark.parametrize("held_out", [{"valid_share": 0.4}, {"valid_count": 3}])
def test_no_sentence_is_on_both_sides(
    items: list[Item], tmp_path: Path, held_out: dict[str, float]
) -> None:
    report = prepare(items, tmp_path / "out", **held_out, seed=3)
    sides = {
        split: list(read_texts(tmp_path / "out" / f"cuts_{split}.jsonl.gz"))
        for split in ("train", "valid")
    }
    assert {split: len(texts) for split, texts in sides.items()} == report.utterances
    assert not set(sides["train"]) & set(sides["valid"])
    assert sum(report.utterances.values()) == 10
    if "valid_count" in held_out:  # every sentence is read twice
        assert len(sides["valid"]) == 4


def test_splits_without_utterances_are_refused(items: list[Item], tmp_path: Path) -> None:
    for number, held_out in enumerate([{"valid_count": 10}, {"valid_share": 1e-9}]):
        with pytest.raises(ValueError, match="would have none of 10 utterances"):
            prepare(items, tmp_path / str(number), **held_out)
        assert not list((tmp_path / str(number)).glob("cuts_*"))
    with pytest.raises(ValueError, match="no items"):
        prepare([], tmp_path / "none")


@pytest.mark.parametrize(
    "options",
    [
        {"split": "a/b"},
        {"split": "valid", "valid_count": 1},
        {"valid_share": 1.0},
        {"valid_count": -1},
        {"valid_share": 0.1, "valid_count": 1},
        {"on_bad": "ignore"},
    ],
)
def test_impossible_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="--"):
        CorpusOptions(**options)


def test_shards_hold_the_same_speech(tmp_path: Path) -> None:
    stereo = np.stack([debug_waveform(2.0, seed, RATE) for seed in (0, 1)], axis=1)
    soundfile.write(tmp_path / "long.flac", stereo, RATE)
    spans = [(0.0, 0.5), (0.5, 1.0), (1.25, 0.75)]
    prepare(
        [Utterance(f"long/{s}", tmp_path / "long.flac", "Some text", s, d) for s, d in spans],
        tmp_path,
    )
    manifest = tmp_path / "cuts_train.jsonl.gz"
    write_shar(manifest, tmp_path / "shar", shard_size=2)
    names = ["cuts.000000.jsonl.gz", "cuts.000001.jsonl.gz"]
    names += ["recording.000000.tar", "recording.000001.tar"]
    assert sorted(path.name for path in (tmp_path / "shar").iterdir()) == names

    # As after an interruption: the first shard stays as it is, the second is made again.
    (tmp_path / "shar" / names[1]).unlink()
    first = (tmp_path / "shar" / names[2]).stat().st_mtime_ns
    write_shar(manifest, tmp_path / "shar", shard_size=2)
    assert (tmp_path / "shar" / names[2]).stat().st_mtime_ns == first

    shards = list(CutSet.from_shar(in_dir=tmp_path / "shar"))
    for shard, cut in zip(shards, load_cuts(manifest), strict=True):
        assert (shard.id, shard.duration) == (cut.id, cut.duration)
        assert shard.supervisions[0].text == cut.supervisions[0].text
        np.testing.assert_allclose(shard.load_audio(), cut.load_audio(), atol=2**-14)


def write_corpus(folder: Path, texts: list[str]) -> Path:
    """A corpus of JSON lines, with about half a second per character."""
    lines = []
    for index, text in enumerate(texts):
        waveform = debug_waveform(0.1 * len(text), index, RATE)
        soundfile.write(folder / f"{index}.flac", waveform, RATE)
        lines.append({"wav": f"{index}.flac", "txt": text})
    path = folder / "corpus.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_english_and_mandarin_survive_preparation_and_tokenizer(tmp_path: Path) -> None:
    texts = ENGLISH + MANDARIN
    path = write_corpus(tmp_path, texts)
    assert run("prepare jsonl", "--input", path, "--output", tmp_path / "out") == 0
    prepared = list(read_texts(tmp_path / "out" / "cuts_train.jsonl.gz"))
    assert prepared == texts
    tokenizer = TextTokenizer.train(prepared * 3, vocab_size=400)
    for text in texts:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_command_tells_what_became_of_the_corpus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_corpus(tmp_path, [*ENGLISH, 60 * "x"])
    with path.open("a") as file:
        file.write('{"wav": "none.wav", "txt": "Not there."}\n{"wav"\n')
    command = ["prepare jsonl", "--input", path, "--output", tmp_path / "out", "--shar"]
    command += ["--valid_count", "1", "--max_duration", "5", "--decode_audio"]
    assert run(*command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("train: 2 utterances, 0.00 h") and "cuts_train.jsonl.gz" in lines[0]
    assert lines[1].startswith("valid: 1 utterances")
    assert lines[2].startswith("rejected: 3 (")
    for count in ("too_long 1", "missing_audio 1", "malformed 1", "rejected_train.jsonl"):
        assert count in lines[2]
    assert len(list(CutSet.from_shar(in_dir=tmp_path / "out" / "shar_train"))) == 2
    assert lines[3:] == [
        f"{split}: shards in {tmp_path / 'out' / f'shar_{split}'}" for split in ("train", "valid")
    ]

    (tmp_path / "out" / "cuts_train.jsonl.gz").unlink()
    assert run(*command, "--on_bad", "stop") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: 3: too_long") and "--max_duration" in error
