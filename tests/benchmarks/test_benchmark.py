"""`sled bench`: it runs, and measures what its report says."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sled.benchmarks import timing
from sled.benchmarks.backbones import make_backbones, run_llama
from sled.benchmarks.corpus import write_audio_corpus, write_cached_corpus
from sled.benchmarks.data import load_rounds, loading_rates
from sled.benchmarks.flags import SIZES
from sled.benchmarks.sizes import make_codec, make_config
from sled.benchmarks.steps import PHASES, make_loader, train_steps
from sled.data.dataset import SpeechDataset, open_corpus
from sled.data.sampling import SpeechBatches
from sled.model.lm import SpeechLM
from tests.benchmarks.clock import Clock
from tests.commands import run
from tests.debug import debug_config, debug_tokenizer, randn

NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DURATIONS_S = [0.2, 0.35, 0.5, 0.3, 0.42]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> dict[str, Path]:
    """The same cuts as audio and as codes."""
    folder = tmp_path_factory.mktemp("corpora")
    return {
        "audio": write_audio_corpus(folder / "audio", DURATIONS_S, 16_000, ".flac"),
        "codes": write_cached_corpus(folder / "codes", DURATIONS_S),
    }


def figures_of(capsys: pytest.CaptureFixture[str], *command: object) -> dict[str, Any]:
    """Run a benchmark, and read the JSON on its last line."""
    assert run("bench", *command, "--json") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["benchmark"] == command[0]
    return result


# data


def test_the_loader_is_timed_on_made_up_corpora(capsys):
    small = ("--num_cuts", 6, "--rounds", 2, "--num_workers", 0, 1, "--batch_size", 3)
    figures = figures_of(capsys, "data", *small)
    loading = {(rate["corpus"], rate["num_workers"]): rate for rate in figures["loading"]}
    assert loading.keys() == {(name, w) for name in ("audio", "codes") for w in (0, 1)}
    assert loading["audio", 0]["ratio"] == 1
    assert loading["codes", 0]["ratio"] > 1
    assert all(rate["frames_per_second"]["count"] == 2 for rate in loading.values())
    (shares,) = figures["padding"].values()
    baseline, *grouped = shares.values()
    assert max(grouped) < 0.05 < 0.2 < baseline


def test_corpora_of_ones_own_are_timed(corpora, capsys):
    named = ("--manifest", *corpora.values(), "--num_workers", 0, "--rounds", 1)
    figures = figures_of(capsys, "data", *named)
    names = list(map(str, corpora.values()))
    assert [rate["corpus"] for rate in figures["loading"]] == names
    assert list(figures["padding"]) == names


@pytest.mark.parametrize("kind", ["audio", "codes"])
def test_every_frame_that_is_loaded_counts(kind, corpora):
    """Here a round is two epochs, each a single batch."""
    codec = make_codec("debug", torch.device("cpu"))
    batches = SpeechBatches(lambda epoch: open_corpus([corpora[kind]]), max_cuts=5)
    dataset = SpeechDataset(debug_tokenizer(), codec)
    measured = load_rounds(dataset, batches, rounds=3, batches_per_round=2, num_workers=0)
    epoch = sum(codec.num_frames(round(s * codec.sample_rate)) for s in DURATIONS_S)
    assert [frames for frames, _ in measured] == [2 * epoch] * 3
    assert min(seconds for _, seconds in measured) > 0


def test_rates_are_told_per_worker_and_relative_to_the_first_corpus():
    """75 frames are a second of audio."""
    speeds = {("slow", 0): [75.0 * 3600], ("slow", 2): [75.0 * 3600], ("fast", 2): [75.0 * 7200]}
    hours = [rate["hours_per_second_per_worker"].median for rate in loading_rates(speeds, 75.0)]
    assert hours == [1.0, 0.5, 1.0]
    assert [rate["ratio"] for rate in loading_rates(speeds, 75.0)] == [1.0, 1.0, 2.0]


# train

SMALL = ("train", "--size", "debug", "--frames", 80, "--warmup_steps", 1, "--num_workers", 0)


@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NEEDS_CUDA])]
)
def test_training_is_timed(device, capsys):
    command = ("--device", device, "--steps", 3, "--gradient_accumulation_steps", 2)
    figures = figures_of(capsys, *SMALL, *command)
    assert figures["frames_per_second"]["count"] == 3
    assert 0 < figures["peak_share"]["median"] < 1
    assert list(figures["phases_s"]) == list(PHASES)
    backbones = figures["backbones"]
    ours, baseline = backbones["positions_per_second"].values()
    assert backbones["ratio"] == pytest.approx(ours["median"] / baseline["median"])
    assert (figures["max_memory_gib"] is None) == (device == "cpu")


def test_training_of_speech_tokens_is_timed(capsys):
    flags = ("--family", "cosyvoice2", "--device", "cpu", "--steps", 2, "--frames", 300)
    figures = figures_of(capsys, *SMALL, *flags, "--num_workers", 0)
    assert figures["tokens_per_second"]["count"] == 2
    assert 0 < figures["loader_share"] < 1
    assert 0 < figures["peak_share"]["median"] < 1
    phases = sum(one["median"] for one in figures["phases_s"].values())
    assert phases == pytest.approx(figures["step_s"]["median"], rel=0.5)


def test_each_phase_has_its_own_time(tmp_path, monkeypatch):
    """Time added to a phase is measured in that phase only."""
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    codec = make_codec("debug", torch.device("cpu"))
    config = make_config("debug")
    loader = make_loader(tmp_path, codec, max_frames=80, vocab_size=300, num_workers=0)
    lookup = codec.codes_to_units

    def slow_lookup(codes: Tensor) -> Tensor:
        clock.seconds += 0.2
        return lookup(codes)

    codec.codes_to_units = slow_lookup  # type: ignore[method-assign]
    model = SpeechLM(config).train()
    first, *steps = train_steps(model, codec, iter(loader), count=3, accumulation=2)
    for step in steps:
        assert step.phases.pop("codec") == pytest.approx(0.4)
        assert sum(step.phases.values()) == 0
        assert step.seconds == pytest.approx(0.4)
        assert 0 < step.frames <= 2 * 80
        assert step.flops > 0


def test_batches_are_as_full_as_asked_for(tmp_path):
    """Of samples short enough for two of them."""
    codec = make_codec("debug", torch.device("cpu"))
    loader = make_loader(tmp_path, codec, max_frames=80, vocab_size=300, num_workers=0)
    batches = [batch["num_frames"] for batch in islice(loader, 10)]
    # Each is rounded up to a whole frame.
    padded = [len(frames) * (int(frames.max()) - 1) for frames in batches]
    assert 40 < max(padded) <= 80
    assert max(len(frames) for frames in batches) >= 2


MILLIONS = {"published": 204, "published-x4": 207, "digits": 9.9, "english": 17.4, "debug": 0.175}


@pytest.mark.parametrize("size", SIZES)
def test_the_sizes_are_those_of_the_models(size):
    with torch.device("meta"):
        model = SpeechLM(make_config(size))
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert millions == pytest.approx(MILLIONS[size], rel=0.05)


def test_both_backbones_do_the_same():
    """With the same weights, the baseline's states are ours: it is timed at the same work."""
    ours, theirs = make_backbones(debug_config())
    theirs.load_state_dict(ours.state_dict())
    lengths = [5, 2, 7]
    samples = [randn(length, 32, seed=length) for length in lengths]
    padded = torch.nn.utils.rnn.pad_sequence(samples, batch_first=True)
    mask = (torch.arange(7) < torch.tensor(lengths)[:, None]).long()
    packed = torch.cat(samples)
    with torch.no_grad():
        expected = run_llama(theirs.eval(), padded, mask)[mask.bool()]
        torch.testing.assert_close(ours.eval()(packed, ours.pack(lengths, packed)), expected)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("data", "--num_cuts", 0), "--num_cuts 0"),
        (("data", "--num_workers", -1), "--num_workers [-1]"),
        (("data", "--manifest", "/no/such.jsonl.gz"), "no cut manifest at /no/such.jsonl.gz"),
        (("train", "--steps", 0), "--steps 0"),
        (("train", "--device", "abacus"), "--device abacus"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(command, message, capsys):
    assert run("bench", *command) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("benchmark", ["data", "train"])
def test_every_flag_is_explained(benchmark, capsys):
    assert run("bench", benchmark, "--help") == 0
    assert "--json" in capsys.readouterr().out
