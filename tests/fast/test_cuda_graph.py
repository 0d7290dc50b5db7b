"""Captured steps give the units of the plain form, whichever utterances join, leave or wait.

On a CPU a step is computed anew where a GPU would replay it; the rest of the code is the same.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sled.decoding import Decoder, DecodingOptions, Request, Utterance, generate
from sled.fast.cuda_graph import CudaGraphModel, padded_size, repeat_eagerly
from sled.fast.paged_cache import PAGE, SCRATCH, PagedCache
from sled.model.interface import NONE, BatchComposition, StepInputs
from sled.tts import TTS
from tests.debug import (
    STREAM,
    debug_codec,
    debug_model,
    debug_prompt,
    debug_tokenizer,
    debug_waveform,
    randn,
)
from tests.fast.forms import fast_model, plain_model

NEVER = 2.0
TEXT = [0, *range(10, 30), 2]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


# What a caller does between two steps.
EVENTS = st.sampled_from(
    ["join", "join", "leave", "pause", "go on", "save", "step", "step", "step"]
)


@given(events=st.lists(EVENTS, max_size=40), random=st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_utterances_that_join_and_leave_get_the_units_they_get_alone(events, random):
    plain, decoder = plain_model(**STREAM), Decoder(fast_model("cuda_graph", **STREAM))
    said: dict[Utterance, tuple[int, DecodingOptions, int, list[Tensor]]] = {}
    for event in [*events, *["go on"] * 5, *["step"] * 30]:
        speaking = decoder.utterances
        one = random.choice(speaking) if speaking else None
        if event == "join" and len(speaking) < 6:
            seed, length = len(said), random.randint(2, len(TEXT))
            options = DecodingOptions(
                cfg=random.choice([1.0, 2.0]),
                draws=random.choice([1, 3]),
                stop_threshold=random.choice([0.5, NEVER]),
                max_frames=random.randint(1, 20),
            )
            joined = decoder.join(Request(TEXT[:length]), seeded(seed), options)
            said[joined] = (seed, options, length, [])
        elif event == "step":
            step = decoder.step()
            for who, frame in zip(*((step.utterances, step.units) if step else ()), strict=True):
                said[who][3].append(frame)
        elif one is not None and event == "leave":
            decoder.leave(one)
        elif one is not None and event == "pause":
            decoder.pause(one)
        elif one is not None and event == "go on":
            decoder.resume(one)
        elif one is not None and event == "save":
            revived = decoder.restore(decoder.save(one))
            decoder.leave(one)
            said[revived] = said[one]
    for seed, options, length, frames in said.values():
        (whole,) = generate(plain, [Request(TEXT[:length])], [seeded(seed)], options)
        if frames:
            assert_same(torch.stack(frames), whole.units[: len(frames)])


def test_sessions_equal_those_of_the_plain_form():
    """With a codec, and a voice that is prepared once."""
    spoken = []
    for model in (fast_model("cuda_graph", **STREAM), plain_model(**STREAM)):
        tts = TTS(model, debug_tokenizer(), debug_codec())
        voice = tts.make_voice(debug_prompt("four two", debug_waveform(0.4)))
        texts = ["one four nine", "seven", "two seven one"]
        spoken.append(tts.synthesize(texts, prompts=[None, voice, voice], seeds=3))
    for ours, theirs in zip(*spoken, strict=True):
        assert_same(ours.units, theirs.units)
        assert ours.stopped == theirs.stopped


@pytest.mark.parametrize("cfg", [1.0, 2.0])
@torch.inference_mode()
def test_padding_rows_have_no_influence(cfg):
    """Even if they hold NaN."""
    model, options = fast_model("cuda_graph"), DecodingOptions(cfg=cfg, stop_threshold=NEVER)
    frames = []
    for poison in (False, True):
        decoder = Decoder(model)
        for seed in range(3):  # padded to four
            decoder.join(Request(TEXT), seeded(seed), options)
        for _ in range(3):
            step = decoder.step()
            if poison:
                for captured in decoder._cache.captured.values():
                    captured._units[3] = torch.nan
                    captured._host_floats[3] = torch.nan
                for pages in decoder._cache.pages:
                    pages[:, SCRATCH] = torch.nan
        frames.append(step.units)
    assert torch.equal(*frames)


def test_values_of_earlier_rows_in_a_page_have_no_influence():
    model = fast_model("cuda_graph")
    decoder = Decoder(model)
    for pages in decoder._cache.pages:
        pages[:] = torch.nan
    utterance = decoder.join(Request(TEXT, randn(50, 32)), seeded(0))
    assert decoder.step().units.isfinite().all()
    state = decoder.save(utterance)
    assert all(one.isfinite().all() for row in state.cached for one in row)


class Recorder:
    """Counts captures."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, work):
        self.count += 1
        return work


def test_a_step_is_captured_once_per_size_and_again_after_the_cache_has_grown():
    recorder = Recorder()
    model = CudaGraphModel(debug_model(), recorder)
    decoder = Decoder(model)
    options = DecodingOptions(stop_threshold=NEVER, max_frames=240)
    pages = decoder._cache.num_pages
    (whole,) = generate(debug_model(), [Request([0, 5, 2])], [seeded(0)], options)
    first = decoder.join(Request([0, 5, 2]), seeded(0), options)
    frames = [decoder.step().units[0] for _ in range(10)]
    assert recorder.count == 1
    second = decoder.join(Request([0, 5, 2]), seeded(1), options)
    frames += [decoder.step().units[0] for _ in range(10)]
    assert recorder.count == 2
    decoder.leave(second)
    third = decoder.join(Request([0, 5, 2]), seeded(1), options)
    assert decoder._cache.num_pages == pages
    captured = set(map(id, decoder._cache.captured.values()))
    while len(frames) < 240:  # two rows of full length exceed the initial memory
        step = decoder.step()
        frames.append(step.units[step.utterances.index(first)])
    assert decoder._cache.num_pages > pages
    assert recorder.count > 2
    assert not captured & set(map(id, decoder._cache.captured.values()))
    assert_same(torch.stack(frames), whole.units)
    decoder.update(third)
    assert third.num_written == 220
    assert third in decoder.utterances


@given(st.integers(1, 3000))
def test_steps_are_padded_to_a_few_sizes(count):
    size = padded_size(count)
    assert count <= size == padded_size(size)
    assert size < 2 * count if count <= 16 else size < 1.5 * count + 1
    assert len({padded_size(one) for one in range(1, 2049)}) < 22


def test_the_largest_step_is_one_of_the_sizes():
    assert padded_size(1000) == 1024


# Memory.


def new_cache(**changes: object) -> PagedCache:
    config = debug_model(**changes).config
    return PagedCache(config.architecture, torch.device("cpu"), torch.float32)


@given(
    lengths=st.lists(st.integers(0, 256), min_size=1, max_size=12),
    random=st.randoms(use_true_random=False),
)
@settings(max_examples=20)
def test_no_row_has_more_pages_than_its_positions_need(lengths, random):
    """However rows grow, move and leave; and no page belongs to two rows."""
    cache = new_cache()
    cache.add_rows(len(lengths))
    for row, length in enumerate(lengths):
        cache.reserve(np.array([row]), np.array([length]))
        cache.lengths[row] = length
    for _ in range(random.randrange(len(lengths))):
        target, last = random.randrange(len(cache.lengths)), len(cache.lengths) - 1
        if target != last:
            cache.move_row(last, target)
            lengths[target] = lengths[last]
        cache.drop_rows(1)
        del lengths[last]
    held = cache.tables[cache.tables != SCRATCH].tolist()
    assert len(held) == len(set(held))
    assert (cache.tables != SCRATCH).sum(1).tolist() == [-(-length // PAGE) for length in lengths]
    assert not set(held) & set(cache._free)
    assert len(held) + len(cache._free) == cache.num_pages - 1


def test_memory_is_that_of_the_pages_and_is_released():
    cache = new_cache(num_hidden_layers=3, num_key_value_heads=2)
    assert cache.page_bytes == 3 * 2 * 2 * PAGE * 8 * 4
    before = cache.num_bytes
    cache.add_rows(20)
    assert cache.num_bytes == before
    cache.reserve(np.arange(20), np.full(20, 200))
    assert cache.num_bytes >= 80 * cache.page_bytes
    cache.drop_rows(20)
    assert cache.num_bytes == before


def test_a_step_does_not_change_rows_outside_of_it():
    model = CudaGraphModel(debug_model(), repeat_eagerly)
    cache = model.new_cache()
    cache.add_rows(3)
    for row in range(3):
        model.advance(randn(1, 5, 32, seed=row), [row], [5], cache)
    before = [cache.read_row(row) for row in range(3)]
    one = np.ones(1, dtype=np.float32)
    batch = BatchComposition(np.array([[2, NONE]]), one, one, np.ones(1, dtype=np.int64))
    inputs = StepInputs(batch, np.array([[7, NONE]]), torch.zeros(1, 32), randn(1, 8))
    model.step(inputs, cache)
    assert cache.lengths.tolist() == [5, 5, 6]
    for row in range(2):
        assert torch.equal(cache.read_row(row).keys, before[row].keys)
    assert torch.equal(cache.read_row(2).values[:, :, :5], before[2].values)
