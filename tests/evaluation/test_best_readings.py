"""The best readings of texts, as a corpus that a model is trained on."""

import json
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sled.data.alignment.features import NUM_FEATURES
from sled.data.alignment.network import CtcNetwork
from sled.data.alignment.spelling import Alphabet
from sled.data.alignment.spoken_tokens import spoken_tokens
from sled.data.alignment.trained import TrainedAligner
from sled.data.cache.codes import check_codec, cut_codes, load_cached
from sled.decoding import DecodingOptions, Request, generate, make_tracker
from sled.evaluation import best_readings
from sled.evaluation.best_readings import ReadingSettings, RewardReport, cache_best_readings
from sled.evaluation.items import Item
from sled.evaluation.judges.base import Heard, Judge
from sled.evaluation.rewards import Reward, load_reward
from sled.model.layout import Layout
from sled.tts import TTS
from tests.commands import run
from tests.debug import (
    STREAM,
    debug_checkpoint,
    debug_marked_codec,
    debug_marked_model,
    debug_tokenizer,
)
from tests.training.runs import fit, make_corpus

TEXTS = ["four two seven", "one four nine", "two one", "seven", "nine four"]
ITEMS = [Item(f"text-{number}", text) for number, text in enumerate(TEXTS)]
SETTINGS = ReadingSettings(readings=4, seed=7, batch_size=2, shard_size=3)
OPTIONS = DecodingOptions(cfg=1.0, stop_threshold=0.1, min_frames=4, max_frames=60)


class Loudness(Judge):
    """Hears how loud speech is."""

    name, version = "loudness", "1"

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self._before = before

    def judge(self, heard: Sequence[Heard]) -> list[dict[str, Any]]:
        self._before()
        return [{"loudness": float(np.abs(one.audio).mean())} for one in heard]


def loudness(before: Callable[[], None] = lambda: None) -> Reward:
    return Reward(Loudness(before), lambda item, figures: figures["loudness"])


@pytest.fixture(scope="module")
def tts() -> TTS:
    return TTS(debug_marked_model(**STREAM), debug_tokenizer(), debug_marked_codec())


def cache(
    tts: TTS,
    folder: Path,
    settings: ReadingSettings = SETTINGS,
    before: Callable[[], None] = lambda: None,
) -> RewardReport:
    return cache_best_readings(tts, ITEMS, loudness(before), folder, OPTIONS, settings)


@pytest.fixture(scope="module")
def folder(tts: TTS, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("best")
    cache(tts, output)
    return output


def logged(folder: Path) -> list[dict[str, Any]]:
    lines = [path.read_text().splitlines() for path in sorted(folder.glob("readings.*.jsonl"))]
    return [json.loads(line) for each in lines for line in each]


def test_the_reading_with_the_highest_reward_is_kept(folder: Path) -> None:
    """All readings are listed, half of them in each layout, each with a seed of its own."""
    readings, cuts = logged(folder), {cut.custom["seed"]: cut for cut in load_cached(folder)}
    assert [one["seed"] for one in readings] == list(range(7, 27))
    assert [one["layout"] for one in readings[:4]] == ["stream", "offline"] * 2
    for item in ITEMS:
        of_text = [one for one in readings if one["id"] == item.id and one["reward"] is not None]
        best = max(of_text, key=lambda one: one["reward"])
        cut = cuts[best["seed"]]
        assert cut.supervisions[0].text == item.text
        assert (cut.custom["reward"], cut.custom["layout"]) == (best["reward"], best["layout"])
        assert cut.duration == pytest.approx(best["seconds"], abs=1e-3)
    assert len(cuts) == len(ITEMS)


def test_codes_and_times_are_those_of_the_reading_made_alone(tts: TTS, folder: Path) -> None:
    codec = tts.codec
    check_codec(folder, codec)
    for cut in load_cached(folder):
        (alone,) = generate(
            tts.model,
            [Request(tts.tokenizer.encode(cut.supervisions[0].text))],
            [torch.Generator().manual_seed(cut.custom["seed"])],
            OPTIONS,
            Layout() if cut.custom["layout"] == "offline" else tts.model.layout,
            text_tracker=make_tracker(codec.token_channel, tts.model),
        )
        codes = codec.stored.units_to_codes(codec.to_stored(alone.speech))
        assert cut_codes(cut).equal(codes)
        ends_s = (torch.arange(len(alone.speech)) + 1) / codec.frame_rate
        said = spoken_tokens(tts.tokenizer, [cut], [0.0], ends_s)
        # A token that is taken back later does not count.
        wanted = np.minimum.accumulate(np.array(alone.tokens)[::-1])[::-1]
        assert said.tolist() == wanted.tolist()


def test_a_run_that_was_killed_ends_the_same(tts: TTS, folder: Path, tmp_path: Path) -> None:
    calls = []

    def die() -> None:
        calls.append(1)
        if len(calls) == 10:  # in the second shard
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache(tts, tmp_path, before=die)
    assert len(logged(tmp_path)) == 12
    before = (tmp_path / "codes.000000.tar").stat().st_mtime_ns
    report = cache(tts, tmp_path)
    assert (tmp_path / "codes.000000.tar").stat().st_mtime_ns == before
    assert logged(tmp_path) == logged(folder)
    for ours, theirs in zip(load_cached(tmp_path), load_cached(folder), strict=True):
        assert ours.supervisions == theirs.supervisions
        assert cut_codes(ours).equal(cut_codes(theirs))
    assert report == best_readings.read_report(folder)


def test_a_folder_has_readings_of_one_kind(tts: TTS, folder: Path) -> None:
    with pytest.raises(ValueError, match="made with readings 4, not 5"):
        cache(tts, folder, ReadingSettings(readings=5, seed=7, batch_size=2, shard_size=3))


def test_the_expected_reward_of_the_best_is_the_mean_over_subsets() -> None:
    rewards = [[0.5, -1.0, 2.0, 0.25], [3.0, 1.0], [1.0, 1.0, 0.0]]
    report = RewardReport(rewards, {}, 0, 0)
    for count in (1, 2, 3, 4):
        of_texts = [
            np.mean([max(chosen) for chosen in combinations(each, count)])
            for each in rewards
            if len(each) >= count
        ]
        assert report.best_of(count) == pytest.approx(np.mean(of_texts))
    assert report.best_of(5) is None
    best_minus_mean = np.mean([max(each) - np.mean(each) for each in rewards])
    assert report.gain.value == pytest.approx(best_minus_mean)


@pytest.mark.parametrize("preferred", [0, 1, 5])
def test_of_equal_readings_the_preferred_one_is_taken(preferred: int) -> None:
    spoken: Any = None
    readings = [
        best_readings.Reading(seed, "stream", spoken, 1.0, reward)
        for seed, reward in enumerate([0.0, None, 0.0])
    ]
    best = best_readings.best_reading(readings, preferred)
    assert best is not None and best.seed == {0: 0, 1: 2, 5: 2}[preferred]
    assert best_readings.best_reading(readings[1:2], preferred) is None


def test_training_goes_on_with_best_readings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mixed with recordings; the judge is an aligner."""
    corpus = make_corpus(tmp_path)
    model = debug_checkpoint(tmp_path / "model", vocab_size=debug_tokenizer().vocab_size)
    alphabet = Alphabet.of(TEXTS, fold_case=True)
    torch.manual_seed(0)
    network = CtcNetwork(len(alphabet), torch.zeros(NUM_FEATURES), torch.ones(NUM_FEATURES))
    TrainedAligner(network, alphabet, None).save(tmp_path / "aligner.safetensors")
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS[:3]))
    flags = ("--model", model, "--manifest", tmp_path / "texts.txt", "--output", tmp_path / "best")
    flags += ("--readings", 2, "--cfg", 1, "--device", "cpu", "--dtype", "float32")
    assert run("cache best-readings", *flags, "--aligner", tmp_path / "aligner.safetensors") == 0
    printed = capsys.readouterr().out
    assert "reward: spelling; 3 texts; expected reward of the best reading" in printed
    manifests = [tmp_path / "best", corpus / "cached"]
    trained = fit(corpus, tmp_path / "out", finetune_path=model, train_manifest=manifests)
    assert (trained / "model.safetensors").is_file()
    with pytest.raises(ValueError, match="similarity needs recordings"):
        load_reward("similarity", "resemblyzer", ITEMS)
