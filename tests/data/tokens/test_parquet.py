"""Corpora in Parquet, in both directions with the published tools."""

import json
import shutil

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch

from sled.data.tokens.pack import write_parquet
from sled.data.tokens.parquet import read_data_list, read_rows
from sled.data.tokens.tables import SPEECH_TOKENS, read_tokens
from tests.data.tokens.corpora import make_folder, name
from tests.debug import GOLDENS

DATA = GOLDENS / "token-data" / "data"
PUBLISHED = DATA / "toy" / "parquet"


def test_the_published_corpus_is_packed_alike(tmp_path, monkeypatch):
    """Rows, lists and the files of utterances are those that the published tool wrote."""
    shutil.copytree(DATA / "toy", tmp_path / "toy", ignore=shutil.ignore_patterns("parquet"))
    monkeypatch.chdir(tmp_path)
    report = write_parquet(
        tmp_path / "toy", (tmp_path / "toy" / "parquet").relative_to(tmp_path), num_utts=4
    )
    assert (report.utterances, report.rejected) == (7, {})
    for file in report.files:
        ours = pyarrow.parquet.read_table(file).to_pylist()
        assert ours == pyarrow.parquet.read_table(PUBLISHED / file.name).to_pylist()
    for theirs in (*PUBLISHED.glob("*.list"), *PUBLISHED.glob("*.json")):
        ours = (tmp_path / "toy" / "parquet" / theirs.name).read_text()
        if theirs.suffix == ".json":
            assert json.loads(ours) == json.loads(theirs.read_text())
        else:
            assert ours.split() == theirs.read_text().split()


def test_the_published_corpus_is_read():
    files = read_data_list(PUBLISHED / "data.list")  # its paths start from another folder
    rows = [row for file in files for row in read_rows(file)]
    assert len(rows) == 7
    tokens = read_tokens(DATA / "toy" / "utt2speech_token.pt")
    for row in rows:
        assert np.array_equal(row.speech_token, tokens[row.utt])
        assert row.audio == (DATA / "toy" / "wav" / f"{row.utt}.wav").read_bytes()
        assert row.spk == row.utt.split("_")[0]
        assert row.reject_speech_token is None


def test_columns_of_a_fork_are_read(tmp_path):
    samples = np.linspace(-1, 1, 20, dtype=np.float32)
    row = {"utt_id": "a", "audio": samples.tobytes(), "audio_shape": [20], "sample_rate": 24_000}
    row |= {"text": "Text.", "embedding": [1.0, 2.0], "speech_token": [5, 6], "vq02_codes": [1]}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "fork.parquet")
    [read] = read_rows(tmp_path / "fork.parquet")
    assert np.array_equal(read.audio, samples) and read.sample_rate == 24_000
    assert read.utt_embedding.tolist() == read.spk_embedding.tolist() == [1, 2]
    assert read.speech_token.tolist() == [5, 6]


def test_tables_that_are_missing_leave_out_their_columns(tmp_path):
    folder = make_folder(tmp_path / "source", count=2, tables=False)
    [file] = write_parquet(folder, tmp_path / "parquet").files
    assert all(row.speech_token is row.utt_embedding is None for row in read_rows(file))


def test_rejected_readings_and_instructions_are_packed(tmp_path):
    folder = make_folder(tmp_path / "source", count=2)
    make_folder(tmp_path / "source_reject", count=2)
    (folder / "instruct").write_text(f"{name(0)} Happily.\n{name(1)} Sadly.\n")
    [file] = write_parquet(folder, tmp_path / "parquet", preference=True).files
    first, second = read_rows(file)
    assert (first.instruct, second.instruct) == ("Happily.", "Sadly.")
    assert len(first.reject_speech_token) == len(first.speech_token)


def test_bad_utterances_stop_the_work_or_are_left_out(tmp_path):
    folder = make_folder(tmp_path / "source", count=5)
    tokens = {key: row.tolist() for key, row in read_tokens(folder / SPEECH_TOKENS).items()}
    del tokens[name(0)]
    tokens[name(1)] = []
    torch.save(tokens, folder / SPEECH_TOKENS)
    (folder / "wav" / f"{name(2)}.wav").unlink()
    for file in ("text", "utt2spk"):
        lines = (folder / file).read_text().splitlines(keepends=True)
        (folder / file).write_text("".join(lines[:4]))
    with pytest.raises(ValueError, match=r"utt00.: .*4 such.*--on_bad skip"):
        write_parquet(folder, tmp_path / "parquet")
    report = write_parquet(folder, tmp_path / "parquet", skip_bad=True)
    assert report.utterances == 1 and len(report.rejected) == 4
    assert "text and utt2spk has no line" in report.rejected[name(4)]
    assert "is empty" in report.rejected[name(1)]
    assert "no audio file" in report.rejected[name(2)]


def test_work_that_was_interrupted_goes_on_where_it_stopped(tmp_path):
    """Complete files stay as they are; damaged, missing and outdated ones are made again."""
    folder = make_folder(tmp_path / "source", count=8)
    files = write_parquet(folder, tmp_path / "parquet", num_utts=2).files
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:500])
    untouched = [file.stat().st_mtime_ns for file in files[2:]]
    write_parquet(folder, tmp_path / "parquet", num_utts=2, num_processes=2)
    assert [file.stat().st_mtime_ns for file in files[2:]] == untouched
    assert [row.utt for file in files for row in read_rows(file)] == [name(n) for n in range(8)]
    text = (folder / "text").read_text().replace("utterance  7", "something else")
    (folder / "text").write_text(text)
    write_parquet(folder, tmp_path / "parquet", num_utts=2)
    assert [row.text for row in read_rows(files[3])][1] == "This is something else."


def test_files_are_made_again_only_if_recordings_have_changed(tmp_path, monkeypatch):
    """Nothing is read of what a file holds: its audio can be terabytes."""
    folder = make_folder(tmp_path / "source", count=4)
    files = write_parquet(folder, tmp_path / "parquet", num_utts=2).files
    before = [file.stat().st_mtime_ns for file in files]
    changed = folder / "wav" / f"{name(3)}.wav"
    content = bytearray(changed.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)  # of the same size
    with monkeypatch.context() as patch:
        for reader in ("ParquetFile", "read_table"):
            patch.delattr(pyarrow.parquet, reader)
        write_parquet(folder, tmp_path / "parquet", num_utts=2)
    assert [file.stat().st_mtime_ns == one for file, one in zip(files, before, strict=True)] == [
        *(True, False)
    ]
    assert [row.audio for row in read_rows(files[1])][1] == bytes(content)


@pytest.mark.parametrize(
    "change",
    [
        {"speech_token": [1, None]},
        {"utt": None},
        {"text": b"\xff"},
        {"sample_rate": 16_000, "audio_data": b"abc"},
    ],
)
def test_a_malformed_row_is_told_and_leaves_the_others(change, tmp_path):
    """Also if it is not the first of those that are read together."""
    samples = np.zeros(4, np.float32).tobytes()
    plain = {"audio_data": samples, "text": b"Text.", "speech_token": [1], "sample_rate": None}
    rows = [{"utt": name(n), "utt_embedding": [1.0, 2.0], **plain} for n in range(4)]
    rows[1] |= change
    kinds = {"text": pyarrow.binary(), "utt_embedding": pyarrow.list_(pyarrow.float64())}
    kinds |= {"utt": pyarrow.string(), "audio_data": pyarrow.binary()}
    kinds |= {"speech_token": pyarrow.list_(pyarrow.int64()), "sample_rate": pyarrow.int64()}
    table = pyarrow.Table.from_pylist(rows, pyarrow.schema(list(kinds.items())))
    # A string that is no UTF-8, as other writers may leave it.
    texts = pyarrow.StringArray.from_buffers(4, *table["text"].chunk(0).buffers()[1:])
    table = table.set_column(table.schema.get_field_index("text"), "text", texts)
    pyarrow.parquet.write_table(table, tmp_path / "corpus.parquet")
    told = {}
    read = list(read_rows(tmp_path / "corpus.parquet", told.__setitem__))
    assert [row.utt for row in read] == [name(n) for n in (0, 2, 3)]
    assert list(told) == ["row 1"]
    with pytest.raises(ValueError, match=r"corpus.parquet: row 1 is malformed"):
        list(read_rows(tmp_path / "corpus.parquet"))


def test_what_is_no_corpus_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no list of Parquet files"):
        read_data_list(tmp_path / "data.list")
    (tmp_path / "data.list").write_text("lost.tar\nparquet.tar\n")
    (tmp_path / "parquet.tar").write_bytes(b"no Parquet")
    with pytest.raises(ValueError, match=r"1 of 2 files .* the first is lost.tar"):
        read_data_list(tmp_path / "data.list")
    with pytest.raises(ValueError, match=r"parquet.tar is no Parquet file"):
        list(read_rows(tmp_path / "parquet.tar"))
    other = pyarrow.Table.from_pylist([{"utt": "a", "text": "Text."}])
    pyarrow.parquet.write_table(other, tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="no column audio_data"):
        list(read_rows(tmp_path / "other.parquet"))
