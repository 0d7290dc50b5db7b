"""Extraction of tokens and speaker vectors: complete, restartable, with a report."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from sled.codec.speaker.network import SpeakerNetwork, SpeakerSizes
from sled.codec.speech_tokens.dual import mix_codebooks
from sled.codec.speech_tokens.export import export_tokenizer
from sled.codec.speech_tokens.network import TokenizerNetwork, TokenizerSizes
from sled.data.tokens import extraction
from sled.data.tokens.extraction import extract, on_threads, read_speech, speaker_means
from sled.data.tokens.folder import read_audio_paths
from sled.data.tokens.tables import read_tokens, read_vectors, write_table
from tests.commands import run, run_script
from tests.data.tokens.corpora import make_folder, name, seconds


def length_of(path: Path) -> np.ndarray:
    """A row that tells the recording: its length in samples at 16 kHz."""
    return np.array([len(read_speech(path)), 7])


@pytest.fixture
def recordings(tmp_path) -> dict[str, Path]:
    return read_audio_paths(make_folder(tmp_path / "data", count=9, tables=False))


@pytest.mark.parametrize("num_threads", [1, 3])
def test_every_recording_has_its_row_in_order(num_threads, recordings, tmp_path):
    output = tmp_path / "table.pt"
    report = extract(recordings, on_threads(length_of, num_threads), output, "model")
    assert list(report.rows) == list(recordings) and report.computed == 9
    assert read_tokens(output)[name(4)].tolist() == [round(16_000 * seconds(4)), 7]
    assert list(read_tokens(output)) == list(recordings)
    told = json.loads((tmp_path / "table.json").read_text())
    assert told["recordings"] == 9 and told["made_with"] == "model" and told["rejected"] == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "table.json", "table.pt"]


@pytest.mark.parametrize("cut", [None, 0, 25])
def test_an_interrupted_run_goes_on_where_it_stopped(cut, recordings, tmp_path):
    """Also if the last line of the journal was not written to its end."""
    output, seen = tmp_path / "table.pt", []

    def interrupted(path: Path) -> np.ndarray:
        if len(seen) == 5:
            raise KeyboardInterrupt
        seen.append(path)
        return length_of(path)

    with pytest.raises(KeyboardInterrupt):
        extract(recordings, on_threads(interrupted), output, "model")
    assert not output.is_file()
    [journal] = tmp_path.glob(".table*")
    if cut is not None:
        lines = journal.read_text().splitlines(keepends=True)
        journal.write_text("".join(lines[:3]) + lines[3][:cut])
    if cut == 0:  # as earlier versions wrote it
        first, *rows = map(json.loads, journal.read_text().splitlines())
        old = [first, *({row["name"]: row["row"]} for row in rows)]
        journal.write_text("".join(json.dumps(line) + "\n" for line in old))
    report = extract(recordings, on_threads(length_of), output, "model")
    assert report.computed == (4 if cut is None else 7)
    whole = extract(recordings, on_threads(length_of), tmp_path / "whole.pt", "model")
    assert read_tokens(output).keys() == whole.rows.keys()
    assert all(np.array_equal(row, whole.rows[key]) for key, row in report.rows.items())
    assert not list(tmp_path.glob(".table*"))


def test_a_complete_run_is_not_repeated_and_new_recordings_are_added(recordings, tmp_path):
    output = tmp_path / "table.pt"
    some = dict(list(recordings.items())[:6])
    extract(some, on_threads(length_of), output, "model")
    written = output.stat().st_mtime_ns
    assert extract(some, on_threads(length_of), output, "model").computed == 0
    assert output.stat().st_mtime_ns == written
    assert extract(recordings, on_threads(length_of), output, "model").computed == 3
    assert list(read_tokens(output)) == list(recordings)


def test_recordings_that_fail_are_reported_and_tried_again(recordings, tmp_path):
    output, path = tmp_path / "table.pt", recordings[name(3)]
    content = path.read_bytes()
    path.write_bytes(b"no wave")
    recordings[name(5)].unlink()
    with pytest.raises(ValueError, match=r"utt003: .*--on_bad skip"):
        extract(recordings, on_threads(length_of), output, "model", skip_bad=False)
    report = extract(recordings, on_threads(length_of), output, "model")
    assert report.rejected.keys() == {name(3), name(5)}
    assert json.loads((tmp_path / "table.json").read_text())["rejected"] == report.rejected
    path.write_bytes(content)
    report = extract(recordings, on_threads(length_of), output, "model")
    assert (report.computed, list(report.rejected)) == (1, [name(5)])
    assert name(3) in read_tokens(output)


def replace_recording(path: Path, seconds: float) -> None:
    """Another recording of another length under the same name."""
    soundfile.write(path, 0.1 * np.ones(round(16_000 * seconds)), 16_000)


@pytest.mark.parametrize("interrupted", [False, True])
def test_recordings_that_have_changed_are_worked_on_again(interrupted, recordings, tmp_path):
    """After a complete run, and after one that was interrupted behind the rows in question."""
    output, seen = tmp_path / "table.pt", []

    def compute(path: Path) -> np.ndarray:
        if interrupted and path.stem == name(8):
            raise KeyboardInterrupt
        return length_of(path)

    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            extract(recordings, on_threads(compute), output, "model")
    else:
        extract(recordings, on_threads(compute), output, "model")
    size = recordings[name(1)].stat().st_size
    replace_recording(recordings[name(1)], 3.0)
    replace_recording(recordings[name(2)], (size - 44) / 32_000)
    recordings[name(3)].write_bytes(b"no wave any more")

    def again(path: Path) -> np.ndarray:
        seen.append(path.stem)
        return length_of(path)

    report = extract(recordings, on_threads(again), output, "model")
    assert {name(1), name(2), name(3)} == set(seen) - {name(8)}
    assert read_tokens(output)[name(1)].tolist() == [48_000, 7]
    assert list(report.rejected) == [name(3)] and name(3) not in read_tokens(output)
    seen.clear()
    assert extract(recordings, on_threads(again), output, "model").computed == 0
    assert seen == [name(3)]


def test_a_recording_of_the_same_size_has_changed_with_its_time(recordings, tmp_path):
    output, path = tmp_path / "table.pt", recordings[name(4)]
    extract(recordings, on_threads(length_of), output, "model")
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert extract(recordings, on_threads(length_of), output, "model").computed == 1
    path.unlink()  # what is gone cannot be worked on again
    report = extract(recordings, on_threads(length_of), output, "model")
    assert report.computed == 0 and name(4) in report.rows


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("last", ["write_report", "write_table"])
def test_an_interruption_between_report_and_table_loses_nothing(
    last, changed, recordings, tmp_path, monkeypatch
):
    output = tmp_path / "table.pt"
    if changed:
        extract(recordings, on_threads(length_of), output, "model")
        replace_recording(recordings[name(1)], 3.0)
    live = getattr(extraction, last)

    def killed(*args: Any) -> None:
        live(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(extraction, last, killed)
        extract(recordings, on_threads(length_of), output, "model")
    report = extract(recordings, on_threads(length_of), output, "model")
    assert report.computed == 0 and list(report.rows) == list(recordings)
    table = read_tokens(output)
    assert all(table[key].tolist() == length_of(path).tolist() for key, path in recordings.items())
    assert not list(tmp_path.glob(".table*"))


def test_a_table_of_an_earlier_version_is_gone_on_with(recordings, tmp_path):
    """Its report does not tell of which recordings it was made."""
    output, report = tmp_path / "table.pt", tmp_path / "table.json"
    extract(recordings, on_threads(length_of), output, "model")
    told = json.loads(report.read_text())
    del told["sources"]
    report.write_text(json.dumps(told))
    assert extract(recordings, on_threads(length_of), output, "model").computed == 0
    replace_recording(recordings[name(1)], 3.0)
    assert extract(recordings, on_threads(length_of), output, "model").computed == 1


class RuntimeOfItsOwnError(Exception):
    """As those of ONNX Runtime, which derive from nothing else."""


def test_an_error_of_any_kind_leaves_out_one_recording(recordings, tmp_path):
    def compute(path: Path) -> np.ndarray:
        if path.stem == name(2):
            raise RuntimeOfItsOwnError("a node failed\nand more")
        return length_of(path)

    report = extract(recordings, on_threads(compute), tmp_path / "table.pt", "model")
    assert report.rejected == {name(2): "a node failed"} and report.computed == 8


def test_a_table_of_another_model_is_not_overwritten(recordings, tmp_path):
    output = tmp_path / "table.pt"
    extract(recordings, on_threads(length_of), output, "model")
    with pytest.raises(ValueError, match="made with something else"):
        extract(recordings, on_threads(length_of), output, "other model")
    (tmp_path / "table.json").unlink()
    with pytest.raises(ValueError, match="not by this command"):
        extract(recordings, on_threads(length_of), output, "model")


def test_if_nothing_can_be_used_there_is_no_table(recordings, tmp_path):
    for path in recordings.values():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="none of 9 recordings can be used: utt000"):
        extract(recordings, on_threads(length_of), tmp_path / "table.pt", "model")
    assert not (tmp_path / "table.pt").is_file()


def test_speakers_have_the_mean_of_their_vectors():
    vectors = {"a": np.array([1.0, 3.0]), "b": np.array([3.0, 5.0]), "c": np.array([0.0, 1.0])}
    means = speaker_means(vectors, {"a": "anna", "b": "anna", "c": "ben"})
    assert {key: row.tolist() for key, row in means.items()} == {"anna": [2, 4], "ben": [0, 1]}
    with pytest.raises(ValueError, match="no line for c"):
        speaker_means(vectors, {"a": "anna", "b": "anna"})


def test_stereo_is_mixed_and_resampled(tmp_path):
    time = np.arange(24_000) / 24_000
    tone = 0.5 * np.sin(2 * np.pi * 300 * time)
    soundfile.write(tmp_path / "stereo.wav", np.stack((tone, np.zeros_like(tone)), 1), 24_000)
    speech = read_speech(tmp_path / "stereo.wav")
    assert speech.shape == (16_000,)
    wanted = 0.25 * torch.sin(2 * torch.pi * 300 * torch.arange(16_000) / 16_000)
    torch.testing.assert_close(speech[200:-200], wanted[200:-200], atol=2e-3, rtol=0)


def test_an_inverted_channel_does_not_cancel_the_other_one(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 300 * np.arange(16_000) / 16_000)
    soundfile.write(tmp_path / "stereo.wav", np.stack((tone, -0.9 * tone), 1), 16_000)
    speech = read_speech(tmp_path / "stereo.wav")
    np.testing.assert_allclose(speech, tone, atol=1e-4)


# Commands.


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A folder with a speech tokenizer and a speaker encoder, as published ones have them."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    sizes = TokenizerSizes(n_audio_state=16, n_audio_head=2, n_audio_layer=1)
    export_tokenizer(TokenizerNetwork(sizes).eval(), folder / "speech_tokenizer_v2.onnx")
    sizes = replace(sizes, version=1, n_codebook_size=50)
    export_tokenizer(TokenizerNetwork(sizes).eval(), folder / "v1" / "speech_tokenizer_v1.onnx")
    tiny = SpeakerSizes(
        embedding_size=6, growth_rate=4, bn_size=2, init_channels=8, block_layers=(1, 1, 1)
    )
    torch.save(SpeakerNetwork(tiny).eval().state_dict(), folder / "campplus.pt")
    return folder


def test_a_corpus_is_prepared_extracted_and_packed_by_commands(models, tmp_path, capsys):
    """The published scripts with their flags, from recordings to Parquet."""
    make_folder(tmp_path / "corpus", count=3, tables=False)
    corpus, data = tmp_path / "corpus.jsonl", tmp_path / "data"
    lines = [
        {"audio_path": f"corpus/wav/{name(n)}.wav", "transcript": f"Text {n}.", "spk": f"s{n % 2}"}
        for n in range(3)
    ]
    corpus.write_text("".join(json.dumps(line) + "\n" for line in lines) + "no JSON\n")
    assert run_script("prepare_data", "--src_dir", corpus, "--des_dir", data) == 0
    assert "rejected: 1" in capsys.readouterr().out
    speaker, tokenizer = models / "campplus.pt", models / "speech_tokenizer_v2.onnx"
    threads = ("--num_thread", 2)
    assert run_script("extract_embedding", "--dir", data, "--onnx_path", speaker, *threads) == 0
    assert "2 speakers" in capsys.readouterr().out
    assert (
        run_script("extract_speech_token", "--dir", data, "--onnx_path", tokenizer, *threads) == 0
    )
    assert " tokens\n" in capsys.readouterr().out
    assert run("make_parquet_list") == 2
    flags = ("--num_utts_per_parquet", 2, "--num_processes", 2)
    assert (
        run_script("make_parquet_list", *flags, "--src_dir", data, "--des_dir", data / "parquet")
        == 0
    )
    assert "3 utterances in 2 files" in capsys.readouterr().out
    vectors = read_vectors(data / "utt2embedding.pt")
    assert len(vectors) == 3 and len(read_vectors(data / "spk2embedding.pt")) == 2
    for number, tokens in enumerate(read_tokens(data / "utt2speech_token.pt").values()):
        assert len(tokens) == pytest.approx(25 * seconds(number), abs=1)


def test_flags_of_step_audio_are_accepted_and_codebooks_are_mixed(models, tmp_path, capsys):
    folder = make_folder(tmp_path / "data", count=2, tables=False)
    flags = ("--wav_scp", folder / "wav.scp", "--utt2spk", folder / "utt2spk")
    encoder = ("--onnx_path", models / "campplus.pt", "--output_dir", tmp_path / "vectors")
    assert run("cache embeddings", *flags, *encoder) == 0
    assert len(read_vectors(tmp_path / "vectors" / "spk2embedding.pt")) == 2
    linguistic = {name(0): np.arange(16), name(1): np.arange(30)}
    write_table(tmp_path / "vq02.pt", linguistic)
    table = tmp_path / "tokens" / "utt2speech_token.pt"
    flags = ("--wav_scp", folder / "wav.scp", "--tokenizer_path", models / "v1")
    flags = (*flags, "--output", table)
    local = ("--model_source", "local", "--sample_rate", 24000)
    for _ in range(2):  # once more: nothing is extracted again
        assert run("cache tokens", *flags, *local, "--linguistic", tmp_path / "vq02.pt") == 0
    stored = torch.load(table, weights_only=True)[name(0)]
    assert stored["vq02"] == list(range(16))
    mixed = mix_codebooks(torch.arange(16), torch.tensor(stored["vq06"]))
    assert read_tokens(table)[name(0)].tolist() == mixed.tolist()
    write_table(tmp_path / "vq02.pt", linguistic | {name(1): np.arange(20)})
    capsys.readouterr()
    assert run("cache tokens", *flags, *local, "--linguistic", tmp_path / "vq02.pt") == 2
    error = capsys.readouterr().err
    assert f"{name(1)}: 20 linguistic tokens" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "flags", "word"),
    [
        ("cache embeddings", ["--input", "none", "--encoder", "none.onnx"], "no file"),
        ("cache embeddings", ["--encoder", "none.onnx"], "--input"),
        ("cache tokens", ["--wav_scp", "list.txt", "--tokenizer", "none"], "name it wav.scp"),
        ("cache parquet", ["--input", "none", "-o", "out"], "no file"),
        ("prepare kaldi-folder", ["--input", "none", "-o", "out"], "no recordings"),
    ],
)
def test_bad_input_ends_in_one_line(command, flags, word, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(command, *flags) == 2
    error = capsys.readouterr().err
    assert word in error and error.count("\n") == 1
