"""`sled bench generate`: it runs, and measures what its report says."""

import json
import re
import xml.etree.ElementTree as ElementTree

import psutil
import pytest
import torch

from sled.benchmarks import frames as frames_module
from sled.benchmarks.baseline import TwoPassBaseline
from sled.benchmarks.fidelity import Prompter, measure_fidelity
from sled.benchmarks.frames import PARTS, REST, FrameWriter, profile_frames
from sled.benchmarks.heads import DRAWN
from sled.benchmarks.memory import measure_read_rate, peak_memory_mb, step_bytes
from sled.benchmarks.picture import stacked_bars
from sled.decoding import Request
from sled.fast.native import kernel_level
from sled.model.config import Config
from sled.model.heads import HEADS, EnergyHead
from tests.benchmarks.clock import Clock
from tests.commands import run
from tests.debug import STREAM, debug_config, debug_model, randn

SMALL = ("--size", "debug", "--rounds", 1, "--frames", 3, "--context", 20)
PROMISED = {"rtf", "ms_per_frame", "ratio", "first_audio_ms", "peak_memory_mb", "settings"}


def test_speech_is_timed_beside_the_baseline(capsys, tmp_path):
    picture, timeline = tmp_path / "frame.svg", tmp_path / "threads.svg"
    flags = ("--picture", picture, "--timeline", timeline, "--draws", 2, "--heads")
    assert run("bench generate", *SMALL, *flags) == 0
    *text, line = capsys.readouterr().out.splitlines()
    figures = json.loads(line)
    assert figures.keys() >= PROMISED
    assert all(figures[name] > 0 for name in PROMISED - {"settings"})
    assert figures["settings"]["dtype"] == "float32"  # what "auto" is for so small a model
    assert 0 <= figures["fidelity"]["forced"] < 1e-5
    assert figures["parts_ms"].keys() == {*PARTS.values(), REST}
    assert sum(figures["parts_ms"].values()) > 0
    assert figures["heads_ms"].keys() == DRAWN.keys()
    assert {settings["head"] for settings in DRAWN.values()} == HEADS.keys() - {"token"}
    assert all(spread["median"] > 0 for spread in figures["heads_ms"].values())
    assert any("real-time factor" in line for line in text)
    assert "energy head" in picture.read_text()
    assert ("in PyTorch" in picture.read_text()) == (kernel_level() is not None)
    assert "codec&#x27;s thread" in timeline.read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--batch", 0), "--batch 0"),
        (("--draws", 0), "--draws 0"),
        (("--context", 5000), "--context 5000 and --frames 3 are more than the model's 2048"),
        (("--picture", "/no/such/folder/a.svg"), "/no/such/folder"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(flags, message, capsys):
    assert run("bench generate", *SMALL, *flags) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_frame_of_the_baseline_reads_both_branches_once():
    """Its caches grow by one position a frame, and each frame is the next one's input."""
    baseline = TwoPassBaseline(debug_config(), context=7, guided=True)
    baseline.begin()
    frames = []
    for _ in range(3):
        baseline.write_frame()
        frames.append(baseline._frame)
    assert [cache.get_seq_length() for cache in baseline._caches] == [10, 10]
    assert frames[-1].shape == (1, 1, 32)


def test_each_part_of_a_frame_has_its_own_time(monkeypatch):
    """Time added to a part is measured in that part only."""
    clock = Clock()
    monkeypatch.setattr(frames_module, "time", clock)
    model = debug_model(max_position_embeddings=256)
    draw = model.draw

    def slow_draw(hidden, noise):
        clock.seconds += 0.05
        return draw(hidden, noise)

    model.draw = slow_draw
    parts = profile_frames(model, batch=2, context=10, cfg=2.0, count=3)
    assert parts.keys() == {*PARTS.values(), REST}
    assert parts.pop("energy head") == pytest.approx(50)
    assert sum(parts.values()) == pytest.approx(0)


@pytest.mark.parametrize(("cfg", "rows"), [(1.0, 2), (2.0, 4)])
def test_frames_are_written_where_they_are_said_to_be(cfg, rows):
    writer = FrameWriter(debug_model(), batch=2, context=30, cfg=cfg)
    writer.begin()
    for _ in range(3):
        writer.write_frame()
    lengths = writer._decoder._cache.lengths
    assert len(lengths) == rows
    assert max(lengths) == 30 + 2  # the last frame written has not been read


def test_each_frame_is_the_mean_of_as_many_draws_as_asked_for():
    model, rows = debug_model(), []
    draw = model.draw
    model.draw = lambda hidden, noise: (rows.append(len(noise)), draw(hidden, noise))[1]
    writer = FrameWriter(model, batch=2, context=10, cfg=2.0, draws=3)
    writer.begin()
    writer.write_frame()
    assert rows == [2 * 3]


def test_frames_after_given_ones_are_those_of_the_definition():
    """A model's own frames given back to it are its free run; others are not."""
    model, requests = debug_model(**STREAM), [Request([0, 5, 6, 7, 8, 2])]
    same = measure_fidelity(model, debug_model(**STREAM), requests, num_frames=12)
    assert same.forced == same.free == 0
    other = measure_fidelity(model, debug_model(seed=1, **STREAM), requests, num_frames=12)
    assert other.forced > 0.1 < other.free
    prompter, frames = Prompter(model, randn(2, 32)), []
    for _ in range(2):
        frames.append(prompter.draw(randn(1, 32), randn(1, 8)))
    torch.testing.assert_close(torch.cat(frames), randn(2, 32))
    assert len(prompter.drawn) == 2


def test_a_step_reads_its_weights_once_and_the_past_of_each_row():
    config = Config()
    weights = step_bytes(config, "int8", rows=2, context=0)
    assert weights == pytest.approx(187e6, rel=0.02)
    assert step_bytes(config, "float32", rows=2, context=0) == 4 * weights
    past = step_bytes(config, "bfloat16", rows=2, context=100) - 2 * weights
    assert past == 2 * 100 * 12 * 2 * 1024 * 2
    assert step_bytes(config, "float32", rows=2, context=100) == 4 * weights + 2 * past


def test_only_the_layers_have_fewer_bytes_in_int4_than_in_int8():
    config = Config()
    head = EnergyHead(config.architecture, config.objective)
    head_weights = sum(one.numel() for one in head.parameters())
    rounded, few = (step_bytes(config, dtype, rows=2, context=0) for dtype in ("int8", "int4"))
    assert few == head_weights + (rounded - head_weights) / 2
    past = step_bytes(config, "int8", rows=2, context=100) - rounded
    assert step_bytes(config, "int4", rows=2, context=100) - few == past


def test_memory_is_measured():
    assert 1e8 < measure_read_rate(rounds=1) < 1e13
    peak = peak_memory_mb()
    assert peak is None or peak >= 0.99 * psutil.Process().memory_info().rss / 1e6


def test_bars_are_drawn_to_scale_with_their_sizes():
    bars = {"all": {"a & b": 3.0, "c": 1.0}, "half": {"c": 2.0}}
    drawing = stacked_bars("what <it> takes", bars, "ms")
    ElementTree.fromstring(drawing)  # well-formed, whatever the names hold
    widths = [float(width) for width in re.findall(r'width="([\d.]+)" height="26"', drawing)]
    assert widths[0] == pytest.approx(3 * widths[1], rel=0.01)
    assert widths[2] == pytest.approx(2 * widths[1], rel=0.01)
    assert "c: 1.00, 2.00 ms" in drawing
