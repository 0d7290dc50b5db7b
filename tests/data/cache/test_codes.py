"""Cached codes equal the codec's, for any number of processes and interruptions."""

import gzip
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

from sled.codec import Codec, load_codec
from sled.data.cache import clips, writing
from sled.data.cache.codes import (
    cache_codes,
    check_codec,
    cut_codes,
    cut_waveform,
    load_cached,
    verify_codes,
)
from sled.data.dataset import SpeechDataset, collate, open_corpus
from sled.data.manifests import can_name_files, load_cuts, save_cuts
from sled.text.tokenizer import TextTokenizer
from tests.commands import run
from tests.debug import GOLDENS, SAMPLE_RATE, debug_codec, debug_waveform

NUM_CUTS = 7


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five clips whose lengths are not multiples of the hop, and two parts of a long recording."""
    folder = tmp_path_factory.mktemp("corpus")
    cuts = []

    def add(name: str, start: float, duration: float) -> None:
        recording = Recording.from_file(folder / name)
        recording.sources[0].source = name
        text = SupervisionSegment(name, recording.id, 0, duration, text=f"clip {len(cuts)}")
        cuts.append(MonoCut(str(len(cuts)), start, duration, 0, [text], recording=recording))

    for index in range(5):
        samples = debug_waveform(0.2 + 0.0311 * index, seed=index)
        soundfile.write(folder / f"{index}.wav", samples, SAMPLE_RATE)
        add(f"{index}.wav", 0, len(samples) / SAMPLE_RATE)
    soundfile.write(folder / "long.wav", debug_waveform(1, 5, sample_rate=16_000), 16_000)
    add("long.wav", 0.1234375, 0.2)
    add("long.wav", 0.5, 0.3001875)
    save_cuts(CutSet.from_cuts(cuts), folder / "cuts.jsonl.gz")
    return folder / "cuts.jsonl.gz"


@pytest.fixture
def cuts(manifest: Path) -> CutSet:
    return load_cuts(manifest)


@pytest.fixture
def broken(manifest: Path, tmp_path: Path) -> CutSet:
    """The same corpus, in which cuts 1, 2 and 3 have lost their audio."""
    shutil.copytree(manifest.parent, tmp_path / "broken")
    (tmp_path / "broken" / "1.wav").unlink()
    (tmp_path / "broken" / "2.wav").write_text("no audio")
    soundfile.write(tmp_path / "broken" / "3.wav", np.full(7039, np.nan), SAMPLE_RATE, "FLOAT")
    return load_cuts(tmp_path / "broken" / manifest.name)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return debug_codec()


@pytest.fixture(scope="module")
def other_codec() -> Codec:
    """Like the first, except for one number in its encoder."""
    codec = load_codec(GOLDENS / "codec")
    with torch.no_grad():
        next(codec._encoder.parameters()).flatten()[0] += 1e-3  # type: ignore[attr-defined]
    return codec


class FailingCodec:
    """A codec that is interrupted in a certain call."""

    def __init__(self, codec: Codec, call: int) -> None:
        self.codec, self.call = codec, call

    @property
    def stored(self) -> "FailingCodec":
        return self

    def __getattr__(self, name: str) -> object:
        return getattr(self.codec, name)

    def encode(self, waveforms: list[torch.Tensor]) -> list[torch.Tensor]:
        self.call -= 1
        if self.call == 0:
            raise KeyboardInterrupt
        return self.codec.encode(waveforms)


def content(folder: Path) -> dict[str, bytes]:
    """Contents of all files by name, unzipped, because gzip stores the time."""
    return {
        path.name: (gzip.open(path) if path.suffix == ".gz" else path.open("rb")).read()
        for path in folder.iterdir()
    }


def ids(cuts: CutSet) -> list[str]:
    return [cut.id for cut in cuts]


# What is kept.


def test_cached_codes_are_those_of_each_clip_alone(
    cuts: CutSet, codec: Codec, tmp_path: Path
) -> None:
    cache_codes(cuts, codec, tmp_path / "codes", shard_size=2)
    cached = list(load_cached(tmp_path / "codes"))
    assert len(cached) == NUM_CUTS
    for cut, original in zip(cached, cuts, strict=True):
        codes = cut_codes(cut)
        assert codes.dtype == torch.int64
        assert codes.equal(codec.encode([cut_waveform(original, SAMPLE_RATE)])[0])
        assert (cut.id, cut.duration) == (original.id, original.duration)
        assert cut.supervisions[0].text == original.supervisions[0].text
        # A shard's cut starts at 0: from the recording it would read something else.
        assert cut.recording.sources[0].type == "shar"


def test_shards_are_plain_lhotse_with_ten_bits_a_code(
    cuts: CutSet, codec: Codec, tmp_path: Path
) -> None:
    cache_codes(cuts, codec, tmp_path)
    fields = {"cuts": ["cuts.000000.jsonl.gz"], "codes": ["codes.000000.tar"]}
    shards = {field: [tmp_path / name for name in names] for field, names in fields.items()}
    bits = (codec.codebook_size - 1).bit_length()
    for cut in CutSet.from_shar(fields=shards):
        packed = cut.load_codes()
        num_codebooks, num_frames = cut_codes(cut).shape
        assert packed.dtype == np.uint8
        assert packed.shape == (num_frames, -(-num_codebooks * bits // 8))
        # The codes follow when Lhotse cuts in time.
        half = cut.truncate(duration=cut.duration / num_frames * 5)
        assert cut_codes(half).equal(cut_codes(cut)[:, :5])


def test_batches_hold_the_same_text_and_lengths_cached_or_not(
    manifest: Path, cuts: CutSet, codec: Codec, tmp_path: Path
) -> None:
    cache_codes(cuts, codec, tmp_path / "codes")
    dataset = SpeechDataset(TextTokenizer.train(["clip 0 1 2 3 4"], 270, 1), codec)
    corpora = (open_corpus([tmp_path / "codes"]), open_corpus([manifest]))
    one, other = (collate([dataset[cut] for cut in corpus]) for corpus in corpora)
    assert one["input_ids"].equal(other["input_ids"])
    assert one["attention_mask"].equal(other["attention_mask"])
    assert one["num_frames"].equal(other["num_frames"])
    for cached, encoded in zip(one["speech"], codec.encode(other["speech"]), strict=True):
        assert cached.equal(encoded)


def test_the_first_cuts_of_a_corpus_are_the_same_in_each_epoch(
    cuts: CutSet, codec: Codec, tmp_path: Path
) -> None:
    cache_codes(cuts, codec, tmp_path / "codes", shard_size=1)
    expected = [cut.id for cut in cuts][:2]
    for seed in range(4):
        chosen = open_corpus([tmp_path / "codes"], max_samples=2, shuffle_seed=seed)
        assert [cut.id for cut in chosen] == expected


# Who makes it.


@pytest.mark.parametrize("count", [2, 3, 9])
def test_processes_that_share_the_work_write_what_one_does(
    count: int, cuts: CutSet, codec: Codec, tmp_path: Path
) -> None:
    whole = cache_codes(cuts, codec, tmp_path / "one", shard_size=2)
    reports = []
    for index in reversed(range(count)):
        with pytest.raises(ValueError, match="cached codes|not complete.*to finish it"):
            load_cached(tmp_path / "many")
        reports.append(cache_codes(cuts, codec, tmp_path / "many", 2, part=(index, count)))
    assert content(tmp_path / "many") == content(tmp_path / "one")
    assert sum(report.num_cuts for report in reports) == whole.num_cuts == NUM_CUTS
    assert sum(report.speech_s for report in reports) == pytest.approx(whole.speech_s)


def test_reading_ahead_changes_nothing(cuts: CutSet, codec: Codec, tmp_path: Path) -> None:
    for workers in (0, 2):
        cache_codes(cuts, codec, tmp_path / str(workers), 3, num_workers=workers)
    assert content(tmp_path / "0") == content(tmp_path / "2")


@pytest.mark.parametrize("is_checked", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        *(
            "one",
            "a/b",
            "/abs/one",
            "a.b",
            "a b",
            "..",
            ".hidden",
            "a/..",
            "é",
            "one.npy",
            200 * "x",
        ),
        *("", "dir/", "./one", "a//b", "a/.", "zero\0"),
    ],
)
def test_ids_that_could_not_be_read_again_are_refused(
    name: str,
    is_checked: bool,
    cuts: CutSet,
    codec: Codec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And only these: without the check, Lhotse fails to read them."""
    if not is_checked:
        for module in (clips, writing):
            monkeypatch.setattr(module, "check_cut_id", lambda _: None)
    one = CutSet.from_cuts([cut.with_id(name) for cut in cuts.subset(first=1)])
    if can_name_files(name):
        cache_codes(one, codec, tmp_path)
        assert ids(load_cached(tmp_path)) == [name]
    elif is_checked:
        with pytest.raises(ValueError, match="its id cannot be the name of a file"):
            cache_codes(one, codec, tmp_path)
        report = cache_codes(one + cuts, codec, tmp_path / "good", on_bad="skip")
        assert report.num_rejected == 1 and ids(load_cached(tmp_path / "good")) == ids(cuts)
    else:
        with pytest.raises((RuntimeError, AssertionError)):
            cache_codes(one, codec, tmp_path)
            list(load_cached(tmp_path))


def test_an_interrupted_cache_continues_with_the_missing_shards(
    cuts: CutSet, codec: Codec, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        cache_codes(cuts, FailingCodec(codec, call=2), tmp_path, 2)  # type: ignore[arg-type]
    first = tmp_path / "codes.000000.tar"
    assert {path.name for path in tmp_path.iterdir()} == {
        "codes.json",
        "codes.000000.tar",
        "cuts.000000.jsonl.gz",
    }
    with pytest.raises(ValueError, match="3 of its 4 shards are missing, the first is number 1"):
        load_cached(tmp_path)

    # A killed process leaves its partial folder, or a shard whose last file was not yet moved.
    shutil.copytree(tmp_path, tmp_path / "partial.killed")
    (tmp_path / "codes.000001.tar").write_bytes(b"half")
    before = first.stat().st_mtime_ns
    report = cache_codes(cuts, codec, tmp_path, 2)
    assert report.num_cuts == NUM_CUTS - 2
    assert ids(load_cached(tmp_path)) == ids(cuts)
    assert verify_codes(tmp_path, codec).num_cuts == NUM_CUTS
    assert first.stat().st_mtime_ns == before
    assert [path.name for path in tmp_path.glob("partial.*")] == ["partial.killed"]

    assert cache_codes(cuts, codec, tmp_path, 2).num_cuts == 0


# What made it.


def test_a_folder_continues_only_with_what_it_was_begun_with(
    cuts: CutSet, codec: Codec, other_codec: Codec, tmp_path: Path
) -> None:
    cache_codes(cuts, codec, tmp_path, shard_size=4, part=(0, 2))
    before = content(tmp_path)
    fewer = cuts.subset(first=5)
    texts = CutSet.from_cuts(cuts)
    texts[0].supervisions[0].text = "another"
    for change, message in (
        ((cuts, other_codec, tmp_path, 4), "codec_digest"),
        ((fewer, codec, tmp_path, 4), "num_cuts 7, not 5"),
        ((texts, codec, tmp_path, 4), "manifest_digest"),
        ((cuts, codec, tmp_path, 3), "shard_size 4, not 3"),
    ):
        with pytest.raises(ValueError, match=f"{message}.*or choose another folder"):
            cache_codes(*change)
    assert content(tmp_path) == before


def test_a_codec_is_told_from_others_by_the_weights_that_decide_its_codes(
    cuts: CutSet, codec: Codec, other_codec: Codec, tmp_path: Path
) -> None:
    cache_codes(cuts, codec, tmp_path)
    same = load_codec(GOLDENS / "codec")
    with torch.no_grad():
        next(same._decoder.parameters()).add_(1)  # type: ignore[attr-defined]
    check_codec(tmp_path, same)
    for call in (check_codec, verify_codes):
        with pytest.raises(ValueError, match="codec_digest .*the codec it was made with"):
            call(tmp_path, other_codec)
    assert codec.digest() == same.digest() != other_codec.digest()


def test_folders_without_a_usable_record_are_refused(
    cuts: CutSet, codec: Codec, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="no cached codes.*sled cache codes"):
        load_cached(tmp_path)
    (tmp_path / "cuts.000000.jsonl.gz").touch()
    for call in (lambda: load_cached(tmp_path), lambda: cache_codes(cuts, codec, tmp_path)):
        with pytest.raises(ValueError, match="older form.*new folder"):
            call()
    for text in ("{", "{}", '{"more": 1}'):
        (tmp_path / "codes.json").write_text(text)
        with pytest.raises(ValueError, match="codes.json is not of this version"):
            load_cached(tmp_path)


def test_codes_that_were_not_packed_are_refused(cuts: CutSet) -> None:
    cut = next(iter(cuts))
    old = cut.attach_tensor("codes", np.zeros((5, 8), np.int16), 0.0125, 0)
    for one in (cut, old):
        with pytest.raises(ValueError, match="cut 0 holds no packed codes"):
            cut_codes(one)


# What can be wrong.


def rewrite_cuts(folder: Path, change: Callable[[dict], None]) -> None:
    """Change the first cut of shard 1."""
    path = folder / "cuts.000001.jsonl.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    cut = json.loads(lines[0])
    change(cut)
    path.write_bytes(gzip.compress("\n".join([json.dumps(cut), *lines[1:], ""]).encode()))


def lengthen(folder: Path) -> None:
    rewrite_cuts(folder, lambda cut: cut.update(duration=cut["duration"] + 0.1))


def misread(folder: Path) -> None:
    rewrite_cuts(folder, lambda cut: cut["custom"].update(num_codebooks=3))


def rename(folder: Path) -> None:
    rewrite_cuts(folder, lambda cut: cut.update(id="another"))


def forget_a_cut(folder: Path) -> None:
    path = folder / "cuts.000001.jsonl.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines()
    path.write_bytes(gzip.compress(lines[0] + b"\n"))


def forget_codes(folder: Path) -> None:
    path = folder / "codes.000001.tar"
    with tarfile.open(path) as tar:
        members = [(member, tar.extractfile(member)) for member in tar.getmembers()[:2]]
        with tarfile.open(folder / "shorter.tar", "w") as shorter:
            for member, file in members:
                shorter.addfile(member, file)
    (folder / "shorter.tar").replace(path)


def truncate(folder: Path) -> None:
    path = folder / "codes.000001.tar"
    path.write_bytes(path.read_bytes()[:700])


@pytest.mark.parametrize(
    "damage", [lengthen, misread, rename, forget_a_cut, forget_codes, truncate]
)
def test_verification_names_the_first_wrong_shard(
    damage: Callable[[Path], None], cuts: CutSet, codec: Codec, tmp_path: Path
) -> None:
    cache_codes(cuts, codec, tmp_path, shard_size=2)
    report = verify_codes(tmp_path, codec)
    assert (report.num_cuts, report.num_rejected) == (NUM_CUTS, 0)
    assert report.speech_s == pytest.approx(sum(cut.duration for cut in cuts))
    damage(tmp_path)
    (tmp_path / "codes.000003.tar").write_bytes(b"")
    with pytest.raises(ValueError, match="shard 1 is wrong .*delete cuts.000001.jsonl.gz") as error:
        verify_codes(tmp_path, codec)
    assert "\n" not in str(error.value)
    verify_codes(tmp_path, codec, part=(0, 2))  # shards 0 and 2

    (tmp_path / "cuts.000001.jsonl.gz").unlink()
    (tmp_path / "cuts.000003.jsonl.gz").unlink()
    with pytest.raises(ValueError, match="2 of its 4 shards are missing"):
        verify_codes(tmp_path, codec)
    cache_codes(cuts, codec, tmp_path, shard_size=2)
    verify_codes(tmp_path, codec)


def test_codes_beyond_the_codebook_are_wrong(
    cuts: CutSet, codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They can only occur if the size of the codebook is not a power of two."""
    monkeypatch.setattr(codec, "codebook_size", codec.codebook_size - 1)
    largest = codec.codebook_size
    monkeypatch.setattr(codec, "encode", lambda clips: [full(codec, c, largest) for c in clips])
    cache_codes(cuts, codec, tmp_path)
    with pytest.raises(ValueError, match=f"shard 0 is wrong .*code {largest} beyond"):
        verify_codes(tmp_path, codec)


def full(codec: Codec, clip: torch.Tensor, code: int) -> torch.Tensor:
    return torch.full((codec.num_codebooks, codec.num_frames(len(clip))), code)


def test_a_cut_without_usable_audio_stops_the_work(
    broken: CutSet, codec: Codec, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="cut 1: cannot read its audio .*--on_bad skip"):
        cache_codes(broken, codec, tmp_path / "codes")
    assert [path.name for path in (tmp_path / "codes").iterdir()] == ["codes.json"]


@pytest.mark.parametrize("workers", [0, 1])
def test_cuts_without_usable_audio_can_be_skipped(
    workers: int, broken: CutSet, codec: Codec, tmp_path: Path
) -> None:
    """Of the shards 0 1, 2 3, 4 5, 6 the second is then empty."""
    folder = tmp_path / "codes"
    report = cache_codes(broken, codec, folder, 2, num_workers=workers, on_bad="skip")
    assert (report.num_cuts, report.num_rejected) == (NUM_CUTS - 3, 3)
    assert ids(load_cached(folder)) == ["0", "4", "5", "6"]
    found = verify_codes(folder, codec)
    assert (found.num_cuts, found.num_rejected) == (NUM_CUTS - 3, 3)
    assert found.num_bytes <= report.num_bytes

    lines = [
        json.loads(line)
        for name in ("rejected.000000.jsonl", "rejected.000001.jsonl")
        for line in (folder / name).read_text().splitlines()
    ]
    assert [line["id"] for line in lines] == ["1", "2", "3"]
    assert "cannot read" in lines[1]["reason"]
    assert "finite" in lines[2]["reason"]

    # Once the audio is there, a shard that is made again rejects no more.
    soundfile.write(tmp_path / "broken" / "1.wav", debug_waveform(0.2311, 1), SAMPLE_RATE)
    (folder / "cuts.000000.jsonl.gz").unlink()
    cache_codes(broken, codec, folder, 2, on_bad="skip")
    found = verify_codes(folder, codec)
    assert (found.num_cuts, found.num_rejected) == (NUM_CUTS - 2, 2)


def test_unreadable_audio_is_named(broken: CutSet) -> None:
    for cut in list(broken)[1:4]:
        with pytest.raises(ValueError, match=f"cut {cut.id}: .*audio"):
            cut_waveform(cut, SAMPLE_RATE)


# The script.


def test_the_script_shares_continues_and_verifies(
    manifest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = ("--codec", GOLDENS / "codec", "--output", tmp_path, "--device", "cpu")
    flags = ("--manifest", manifest, *output, "--shard_size", 2, "--num_workers", 1)
    assert run("cache codes", *flags, "--shard", "1/2") == 0
    printed = capsys.readouterr().out
    assert "encoded: 3 cuts, 0.00 h of speech in" in printed
    assert "times real time" in printed and "MB per hour" in printed
    assert f"2 shards are left to other processes in {tmp_path}" in printed
    assert run("cache codes", *output, "--verify") == 2
    assert "not complete" in capsys.readouterr().err

    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run("cache codes", *flags) == 0
    assert f"codes in {tmp_path}" in capsys.readouterr().out
    assert run("cache codes", *flags, "--shard", "0/2") == 2
    assert "under torchrun" in capsys.readouterr().err
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.delenv("RANK")

    assert run("cache codes", *flags) == 0
    assert "encoded: no cuts" in capsys.readouterr().out
    assert run("cache codes", *output, "--verify") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("verified: 7 cuts") and printed.endswith(" 0 rejected\n")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--shard", "2/2"), "--shard 2/2 is not i/n"),
        (("--shard", "one"), "--shard one is not i/n"),
        (("--shard_size", 0), "0 cuts per shard"),
        (("--num_workers", -1), "num_workers"),
        ((), "--manifest is missing"),
    ],
)
def test_flags_that_make_no_sense_are_refused_in_one_line(
    flags: tuple[object, ...],
    message: str,
    manifest: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    corpus = ("--manifest", manifest) if flags else ()
    needed = ("--codec", GOLDENS / "codec", "--output", tmp_path / "codes", "--device", "cpu")
    assert run("cache codes", *corpus, *needed, *flags) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
