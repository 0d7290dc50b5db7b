"""Cached codes are what the codec gives, and an interrupted cache is continued, not redone."""

from pathlib import Path

import pytest
import soundfile
import torch
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

from sled.codec import Codec, load_codec
from sled.data.dataset import SpeechDataset, collate
from sled.data.latents import cache_codes, cut_codes, cut_waveform, load_cached
from sled.text import TextTokenizer

GOLDEN_CODEC = Path(__file__).parents[1] / "goldens" / "codec"


@pytest.fixture(scope="module")
def codec() -> Codec:
    return load_codec(GOLDEN_CODEC)


@pytest.fixture(scope="module")
def cuts(tmp_path_factory: pytest.TempPathFactory) -> CutSet:
    """Five clips of noise, of lengths that are no multiple of the hop."""
    folder = tmp_path_factory.mktemp("audio")
    made = []
    for index in range(5):
        path = folder / f"{index}.wav"
        noise = 0.1 * torch.randn(
            5000 + 777 * index, generator=torch.Generator().manual_seed(index)
        )
        soundfile.write(path, noise.numpy(), 24_000)
        recording = Recording.from_file(path)
        text = SupervisionSegment(
            str(index), recording.id, 0, recording.duration, text=f"clip {index}"
        )
        made.append(MonoCut(str(index), 0, recording.duration, 0, [text], recording=recording))
    return CutSet.from_cuts(made)


def test_cached_codes_are_those_of_each_clip_alone(
    cuts: CutSet, codec: Codec, tmp_path: Path
) -> None:
    cache_codes(cuts, codec, tmp_path / "codes", shard_size=2)
    cached = list(load_cached(tmp_path / "codes"))
    assert [cut.id for cut in cached] == [cut.id for cut in cuts]
    for cut, original in zip(cached, cuts, strict=True):
        assert cut_codes(cut).equal(codec.encode([cut_waveform(original, 24_000)])[0])
        assert cut.supervisions[0].text == original.supervisions[0].text


def test_an_interrupted_cache_continues_at_the_first_missing_shard(
    cuts: CutSet, codec: Codec, tmp_path: Path
) -> None:
    class Interrupted(Exception):
        pass

    class Failing:
        sample_rate = codec.sample_rate
        calls = 0

        def encode(self, waveforms: list[torch.Tensor]) -> list[torch.Tensor]:
            self.calls += 1
            if self.calls == 4:  # in the middle of the second shard
                raise Interrupted
            return codec.encode(waveforms)

    with pytest.raises(Interrupted):
        cache_codes(cuts, Failing(), tmp_path, shard_size=2)  # type: ignore[arg-type]
    first_shard = (tmp_path / "codes.000000.tar").stat()
    assert [cut.id for cut in load_cached(tmp_path)] == ["0", "1"]

    cache_codes(cuts, codec, tmp_path, shard_size=2)
    assert [cut.id for cut in load_cached(tmp_path)] == ["0", "1", "2", "3", "4"]
    assert (tmp_path / "codes.000000.tar").stat().st_mtime_ns == first_shard.st_mtime_ns
    assert not (tmp_path / "partial").exists()


def test_batches_hold_the_same_text_and_lengths_cached_or_not(
    cuts: CutSet, codec: Codec, tmp_path: Path
) -> None:
    cuts.to_file(tmp_path / "cuts.jsonl.gz")
    cache_codes(cuts, codec, tmp_path / "codes")
    tokenizer = TextTokenizer.train(["clip 0 1 2 3 4"], 270, 1)
    cached, audio = (
        SpeechDataset(tmp_path / name, tokenizer, codec.sample_rate, codec.frame_rate)
        for name in ("codes", "cuts.jsonl.gz")
    )
    one, other = (collate([data[i] for i in range(5)]) for data in (cached, audio))
    assert one["input_ids"].equal(other["input_ids"])
    assert one["attention_mask"].equal(other["attention_mask"])
    for codes, waveform in zip(one["codes"], codec.encode(other["audio"]), strict=True):
        assert codes.equal(waveform)


def test_a_folder_without_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cache_latents.py"):
        load_cached(tmp_path)


def test_unreadable_audio_is_named(cuts: CutSet) -> None:
    cut = list(cuts)[0]
    broken = cut.with_recording_path_prefix("nowhere")
    broken.recording.sources[0].source = "nowhere/0.wav"
    with pytest.raises(ValueError, match=f"cut {cut.id}"):
        cut_waveform(broken, 24_000)
