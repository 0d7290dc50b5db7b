"""The data pipeline; sled check compares its batches with recordings of the published one."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from sled.codec.features import MEL_24K, log_mel
from sled.data.tokens.options import COSYVOICE2, COSYVOICE2_2025, PipelineOptions
from sled.data.tokens.pack import write_parquet
from sled.data.tokens.parquet import read_rows
from sled.data.tokens.pipeline import TokenBatches, TokenLoader, share_files, share_lost
from tests.data.tokens.corpora import make_folder, make_parquet, name, seconds

OPTIONS = replace(COSYVOICE2, shuffle_size=5, sort_size=4, max_frames_in_batch=260)


def tokenize(text: str) -> list[int]:
    return [min(ord(character), 255) for character in text]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_parquet(tmp_path_factory.mktemp("corpus"), count=12)


def batches_of(files, options: PipelineOptions = OPTIONS, **settings) -> TokenBatches:
    return TokenBatches(files, tokenize, options, **settings)


def order(batches) -> list[tuple[str, ...]]:
    return [tuple(batch["utts"]) for batch in batches]


def test_batches_hold_the_corpus_within_their_size(files):
    batches = list(batches_of(files))
    assert sorted(utt for batch in batches for utt in batch["utts"]) == [name(n) for n in range(12)]
    assert len(batches) > 3
    for batch in batches:
        count, frames, bands = batch["speech_feat"].shape
        assert bands == 80 and count * frames <= OPTIONS.max_frames_in_batch
        assert batch["speech_feat_len"].tolist() == sorted(batch["speech_feat_len"])[::-1]
        for utt, num_frames in zip(batch["utts"], batch["speech_feat_len"], strict=True):
            assert num_frames == pytest.approx(50 * seconds(int(utt[3:])), abs=2)


def test_a_batch_is_its_rows_padded(files):
    rows = {row.utt: row for file in files for row in read_rows(file)}
    batch = next(iter(batches_of(files)))
    for place, utt in enumerate(batch["utts"]):
        row = rows[utt]
        count = int(batch["speech_token_len"][place])
        assert batch["speech_token"][place, :count].tolist() == row.speech_token.tolist()
        text = batch["text_token"][place, : batch["text_token_len"][place]]
        assert bytes(text.tolist()).decode() == row.text == batch["text"][place]
        vector = normalize(torch.tensor(row.utt_embedding).float(), dim=0)
        torch.testing.assert_close(batch["embedding"][place], vector)
        assert not batch["speech_token"][place, count:].any()


def test_trimmed_features_have_two_frames_for_each_token(files):
    for batch in batches_of(files, replace(OPTIONS, fit="trim")):
        assert (batch["speech_feat_len"] == 2 * batch["speech_token_len"]).all()


def test_recordings_are_resampled_and_truncated_for_vocoders(tmp_path):
    folder = make_folder(tmp_path / "source", count=4, tables=False)
    for number in range(4):
        path = folder / "wav" / f"{name(number)}.wav"
        samples, _ = soundfile.read(path)
        soundfile.write(path, samples, 48_000)  # half as long now
    files = write_parquet(folder, tmp_path / "parquet").files
    options = replace(OPTIONS, truncate_length=24_480, fit="none", min_length=10)
    pitches = []

    def pitch(waveform: torch.Tensor, num_frames: int) -> torch.Tensor:
        pitches.append(len(waveform))
        return torch.ones(num_frames)

    [batch] = batches_of(files, replace(options, max_frames_in_batch=2000), pitch=pitch)
    assert batch["speech"].shape == (4, 24_480) and pitches == [24_480] * 4
    assert batch["pitch_feat"].shape == batch["speech_feat"].shape[:2] == (4, 51)
    torch.testing.assert_close(
        batch["speech_feat"][0], log_mel(batch["speech"][0], options.mel).T, atol=1e-4, rtol=1e-4
    )
    assert "speech_token" not in batch and "embedding" not in batch


def test_an_inverted_channel_does_not_cancel_the_other_one(tmp_path):
    """It would leave silence beside the tokens of speech."""
    options = replace(OPTIONS, max_frames_in_batch=2000)
    features = []
    for kind in ("mono", "stereo"):
        folder = make_folder(tmp_path / kind, count=2)
        for path in (folder / "wav").iterdir():
            samples, rate = soundfile.read(path)
            both = np.stack((samples, -samples), 1)
            soundfile.write(path, both if kind == "stereo" else samples, rate)
        [batch] = batches_of(write_parquet(folder, tmp_path / f"{kind}.parquet").files, options)
        features.append(batch["speech_feat"])
    torch.testing.assert_close(*features)


def test_speaker_vectors_and_features_of_tokenizers_on_request(files):
    options = replace(OPTIONS, use_spk_embedding=True, with_tokenizer_features=True)
    batch = next(iter(batches_of(files, options)))
    assert batch["embedding"].equal(batch["spk_embedding"])
    assert batch["whisper_feat_len"].tolist() == [
        2 * frames for frames in batch["speech_feat_len"].tolist()
    ]


# Order.


def test_epochs_differ_and_repeat_exactly(files):
    batches = batches_of(files)
    first = order(batches)
    assert order(batches) == first
    batches.resume_after(1, -1)
    assert order(batches) != first
    assert order(batches_of(files, seed=1)) != first
    assert order(batches_of(files, training=False)) == order(batches_of(files, training=False))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_run_resumes_at_any_batch_with_any_number_of_workers(num_workers, files):
    """An endless iteration, cut within an epoch, at its end, and after it."""
    uninterrupted = iter(TokenLoader(batches_of(files, endless=True)))
    whole = [next(uninterrupted) for _ in range(14)]
    assert whole[-1]["epoch"] >= 2
    for cut in (0, 3, 5, 6) if num_workers == 0 else (3,):
        loader = TokenLoader(batches_of(files, endless=True))
        iterator = iter(loader)
        for _ in range(cut):
            next(iterator)
        resumed = TokenLoader(batches_of(files, endless=True), num_workers, prefetch=2)
        resumed.load_state_dict(loader.state_dict())
        for batch, wanted in zip(resumed, whole[cut:], strict=False):
            assert (batch["epoch"], batch["index"]) == (wanted["epoch"], wanted["index"])
            assert batch["utts"] == wanted["utts"]
            assert batch["speech_feat"].equal(wanted["speech_feat"])


def test_one_epoch_is_resumed_to_its_end(files):
    whole = order(batches_of(files))
    loader = TokenLoader(batches_of(files))
    iterator = iter(loader)
    next(iterator), next(iterator)
    resumed = TokenLoader(batches_of(files))
    resumed.load_state_dict(loader.state_dict())
    assert order(resumed) == whole[2:]
    resumed.start_epoch(0)
    assert order(resumed) == whole


def test_processes_share_the_files(files):
    shares = [share_files(files, 3, rank, 3) for rank in range(3)]
    assert sorted(sum(shares, [])) == sorted(files)
    assert share_files(files, 4, 0, 3) != shares[0]
    many = [share_files(files, 0, rank, 7) for rank in range(7)]
    assert all(len(own) == 1 for own in many) and {own[0] for own in many} == set(files)
    both = [
        utt
        for rank in range(2)
        for utts in order(batches_of(files, rank=rank, world_size=2))
        for utt in utts
    ]
    assert sorted(both) == [name(number) for number in range(12)]
    validation = batches_of(files, rank=1, world_size=2, training=False)
    assert sum(map(len, order(validation))) == 12


# Bad rows.


def spoil(files: list[Path], name_of_utt: str, what: str) -> None:
    """Make one utterance of a corpus in Parquet bad."""
    for file in files:
        rows = pyarrow.parquet.read_table(file).to_pylist()
        for row in rows:
            if row["utt"] == name_of_utt:
                tokens, audio = row["speech_token"], row["audio_data"]
                row |= {
                    "many": {"speech_token": tokens * 2},
                    "high": {"speech_token": [*tokens[:-1], 6561]},
                    "negative": {"speech_token": [-1, *tokens[1:]]},
                    "low rate": {"audio_data": at_rate(audio, 8_000)},
                    "no audio": {"audio_data": b"not a wave"},
                    "nothing": {"audio_data": None},
                }[what]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)


def at_rate(audio: bytes, rate: int) -> bytes:
    """A recording at a lower rate."""
    samples, before = soundfile.read(io.BytesIO(audio))
    content = io.BytesIO()
    soundfile.write(content, samples[:: before // rate], rate, format="WAV")
    return content.getvalue()


@pytest.mark.parametrize(
    ("what", "word"),
    [
        ("many", "where 25 are expected"),
        ("high", "to 6561, not within 0 and 6560"),
        ("negative", "from -1"),
        ("low rate", "8000 Hz"),
        ("no audio", "cannot be read"),
        ("nothing", "cannot be read"),
    ],
)
def test_a_bad_row_is_left_out_and_counted_or_stops_the_run(what, word, tmp_path):
    files = make_parquet(tmp_path, count=4)
    spoil(files, name(0), what)
    batches = batches_of(files)
    assert sum(map(len, order(batches))) == 3
    assert word in batches.tally.bad[name(0)]
    with pytest.raises(ValueError, match=f"utt000: .*{word}.*--on_bad skip"):
        order(batches_of(files, replace(OPTIONS, on_bad="stop")))


def test_a_malformed_row_is_one_bad_row(files, tmp_path):
    [file] = make_parquet(tmp_path, count=4, num_utts=4)
    rows = pyarrow.parquet.read_table(file).to_pylist()
    rows[1]["speech_token"][0] = None
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    batches = batches_of([file])
    assert sum(map(len, order(batches))) == 3
    [(place, reason)] = batches.tally.bad.items()
    assert place == f"{file}, row 1" and "malformed" in reason and batches.tally.rows == 4
    with pytest.raises(ValueError, match="row 1 is malformed .*--on_bad skip"):
        order(batches_of([file], replace(OPTIONS, on_bad="stop")))


def test_vectors_of_another_width_are_bad_rows(files):
    batches = batches_of(files, replace(OPTIONS, embedding_size=192))
    with pytest.raises(ValueError, match=r"no row of 4 .*12 \(100.0%\) bad .* 6 numbers, not 192"):
        order(batches)
    assert len(batches.tally.bad) == 12
    assert "has 6 numbers, not 192" in batches.tally.bad[name(0)]


def test_audio_that_does_not_decode_leaves_the_other_batches_as_they_are(files, tmp_path):
    """The header tells more samples than there are: that shows only when the row is decoded."""
    folder = make_folder(tmp_path / "source", count=12)
    for number in (2, 3):
        path = folder / "wav" / f"{name(number)}.flac"
        samples, rate = soundfile.read(path.with_suffix(".wav"))
        soundfile.write(path, samples, rate)
        path.write_bytes(path.read_bytes()[:9_000])
        scp = folder / "wav.scp"
        scp.write_text(scp.read_text().replace(str(path.with_suffix(".wav")), str(path)))
    broken = write_parquet(folder, tmp_path / "parquet", num_utts=3).files
    whole, left = order(batches_of(files)), order(TokenLoader(batches_of(broken)))
    lost = {name(2), name(3)}
    assert left == [kept for utts in whole if (kept := tuple(u for u in utts if u not in lost))]
    with pytest.raises(ValueError, match=r"utt00[23]: .*--on_bad skip"):
        order(batches_of(broken, replace(OPTIONS, on_bad="stop")))


def test_a_file_that_is_none_is_left_out_or_stops_the_run(files, tmp_path, caplog):
    none = tmp_path / "none.tar"
    none.write_bytes(b"no Parquet")
    loader = TokenLoader(batches_of([*files, none]))
    for _ in range(2):  # it is told once
        assert sum(map(len, order(loader))) == 12
        loader.start_epoch(1)
    [told] = caplog.messages
    assert "1 (7.7%) bad rows or files, the first is" in told and "none.tar" in told
    with pytest.raises(ValueError, match="none.tar is no Parquet file"):
        order(batches_of([*files, none], replace(OPTIONS, on_bad="stop")))


@pytest.mark.parametrize("endless", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_a_corpus_without_a_usable_row_is_an_error_that_tells_why(endless, training, files):
    options = replace(OPTIONS, min_length=5_000)
    batches = batches_of(files, options, endless=endless, training=training)
    with pytest.raises(ValueError, match=r"no row of 4 .*12 \(100.0%\) too short"):
        next(iter(TokenLoader(batches)))


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("ends_early", [False, True])
def test_what_filters_leave_out_is_told_once_with_its_share(num_workers, ends_early, files, caplog):
    """Also if another process has fewer batches, and the epoch ends before its last one."""
    options = replace(OPTIONS, min_length=150, max_length=190)
    lengths = [100 * seconds(number) for number in range(12)]
    short, long = sum(one < 150 for one in lengths), sum(one > 190 for one in lengths)
    loader = TokenLoader(batches_of(files, options), num_workers, prefetch=2)
    for epoch in range(2):
        loader.start_epoch(epoch)
        batches = iter(loader)
        for _ in range(2) if ends_early else batches:
            next(batches, None)
        del batches
    assert short and long
    [told] = caplog.messages
    for count, limit in ((short, "too short"), (long, "too long")):
        assert f"{count} ({count / 12:.1%}) {limit}" in told
    assert "bad" not in told


def test_only_the_first_process_tells_of_what_all_of_them_read(files, caplog):
    options = replace(OPTIONS, min_length=150)
    for rank in range(2):
        list(TokenLoader(batches_of(files, options, rank=rank, world_size=2, training=False)))
    assert len(caplog.messages) == 1
    for rank in range(2):
        list(TokenLoader(batches_of(files, options, rank=rank, world_size=2)))
    assert [f"process {rank}:" in told for rank, told in enumerate(caplog.messages[1:])] == [
        True
    ] * 2


@given(st.integers(1, 60), st.integers(1, 12))
def test_the_share_that_is_lost_is_that_beyond_the_smallest_share(num_files, world_size):
    files = [Path(str(number)) for number in range(num_files)]
    sizes = [len(share_files(files, 0, rank, world_size)) for rank in range(world_size)]
    lost = 1 - world_size * min(sizes) / sum(sizes)
    assert share_lost(num_files, world_size) == pytest.approx(lost)


def test_files_that_are_not_read_to_the_end_are_worth_a_warning(files, caplog):
    for rank in range(3):
        batches_of(files, rank=rank, world_size=3)
    [told] = caplog.messages
    assert "4 files are shared by 3 processes" in told and "25 %" in told
    caplog.clear()
    batches_of(files, world_size=2), batches_of(files, world_size=3, training=False)
    batches_of(files * 10, world_size=3)  # a fortieth
    assert not caplog.messages


def test_buffers_hold_no_audio_that_is_not_decoded(files):
    assert all(sample.row.audio for batch in batches_of(files).plan(0) for sample in batch)
    options = replace(OPTIONS, with_audio=False)
    lengths = {}
    for batch in batches_of(files, options).plan(0):
        for sample in batch:
            assert not sample.row.audio
            lengths[sample.row.utt] = sample.num_samples
    assert lengths == {name(n): round(24_000 * seconds(n) / 960 + 0.499) * 960 for n in range(12)}


def test_limits_are_those_of_the_published_recipes():
    assert (COSYVOICE2.min_length, COSYVOICE2.max_length) == (100, 6_000)
    assert (COSYVOICE2_2025.max_length, COSYVOICE2_2025.fit) == (40_960, "trim")
    assert COSYVOICE2.mel == MEL_24K
    with pytest.raises(ValueError, match="min_length below max_length"):
        PipelineOptions(min_length=10, max_length=5)


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        ({"min_length": 150}, "too short"),
        ({"max_length": 150}, "too long"),
        ({"token_min_length": 100}, "too few text tokens"),
        ({"token_max_length": 10}, "too many text tokens"),
        ({"min_output_input_ratio": 0.15}, "too few text tokens for its duration"),
        ({"max_output_input_ratio": 0.15}, "too many text tokens for its duration"),
    ],
)
def test_rows_outside_the_limits_are_counted(change, limit, files):
    batches = batches_of(files, replace(OPTIONS, **change))
    kept = sum(map(len, batches.plan(0)))
    assert batches.tally.filtered[limit] == 12 - kept > 0
    assert not batches.tally.bad
