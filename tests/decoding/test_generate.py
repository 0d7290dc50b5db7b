"""The decoding loop against a slow one that recomputes everything for each frame of each row."""

from collections.abc import Sequence
from itertools import permutations

import pytest
import torch
from torch import Tensor

from sled.decoding import Decoder, DecodingOptions, Generated, Request, generate
from sled.model.layout import Layout
from sled.model.lm import SpeechLM
from tests.debug import LAYOUT_IDS, LAYOUTS, STREAM, debug_model, randn
from tests.oracles import noise_of, speak_slowly

EOS = 2
NEVER, AT_ONCE = 2.0, 1e-9  # stop thresholds that no probability reaches, and that each does
TEXTS = [[0, 17, 45, 81, 17, 99, 23, 2], [0, 33, 2], [0, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 2]]

both_layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)


def generators(count: int, first_seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(first_seed + row) for row in range(count)]


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    """Equal to float32 precision, allowing for its growth over free-running frames."""
    assert ours.shape == theirs.shape
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


# What is spoken.


@both_layouts
@pytest.mark.parametrize("cfg", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("prompt_frames", [(0, 0, 0), (5, 9, 1), (0, 6, 0)])
def test_a_ragged_batch_speaks_as_the_definition_does_row_by_row(layout, cfg, prompt_frames):
    model = debug_model(**layout)
    prompts = [randn(n, 32, seed=n) if n else None for n in prompt_frames]
    spoken = generate(
        model,
        [Request(text, prompt) for text, prompt in zip(TEXTS, prompts, strict=True)],
        generators(3),
        DecodingOptions(cfg=cfg, stop_threshold=NEVER, max_frames=18),
    )
    for row, generated in enumerate(spoken):
        latents, _ = speak_slowly(model, TEXTS[row], noise_of(row, 18), cfg, prompts[row])
        assert_same(generated.units, latents)


@pytest.mark.parametrize(
    "sizes",
    [
        {"num_key_value_heads": 2, "head_dim": 6},
        {"stream_n": 1, "stream_m": 1},
        {"stream_n": 5, "stream_m": 2, "num_key_value_heads": 1},
    ],
)
def test_other_models_speak_as_defined(sizes):
    model = debug_model(**sizes)
    options = DecodingOptions(stop_threshold=NEVER, max_frames=15)
    spoken = generate(model, [Request(text) for text in TEXTS], generators(3), options)
    for row, generated in enumerate(spoken):
        latents, _ = speak_slowly(model, TEXTS[row], noise_of(row, 15), options.cfg)
        assert_same(generated.units, latents)


def test_a_row_that_still_reads_text_finds_room_beside_one_near_its_end():
    """Rows share one cache, in which a text chunk pads every row."""
    model, prompt = debug_model(stream_n=5, stream_m=2), randn(80, 32)
    options = DecodingOptions(stop_threshold=NEVER, max_frames=15)
    long_text = [0, *range(10, 70), 2]
    requests = [Request([0, 2], prompt), Request(long_text)]
    spoken = generate(model, requests, generators(2), options)
    assert_same(spoken[0].units, speak_slowly(model, [0, 2], noise_of(0, 15), 2.0, prompt)[0])
    assert_same(spoken[1].units, speak_slowly(model, long_text, noise_of(1, 15), 2.0)[0])


def test_the_layout_can_be_chosen_for_the_call():
    """A streaming checkpoint also speaks offline."""
    streaming, offline = debug_model(**STREAM), debug_model()
    options = DecodingOptions(stop_threshold=NEVER, max_frames=8)
    ours = generate(streaming, [Request(TEXTS[0])], generators(1), options, layout=Layout())[0]
    theirs = generate(offline, [Request(TEXTS[0])], generators(1), options)[0]
    assert_same(ours.units, theirs.units)


def test_temperature_scales_the_noise():
    model = debug_model()
    options = DecodingOptions(temperature=0.3, stop_threshold=NEVER, max_frames=10)
    spoken = generate(model, [Request(TEXTS[0])], generators(1), options)[0]
    latents, _ = speak_slowly(model, TEXTS[0], 0.3 * noise_of(0, 10), cfg=2.0)
    assert_same(spoken.units, latents)


def test_without_temperature_every_seed_says_the_same():
    model = debug_model()
    options = DecodingOptions(temperature=0.0, stop_threshold=NEVER, max_frames=10)
    one, other = (
        generate(model, [Request(TEXTS[0])], generators(1, seed), options)[0] for seed in (1, 2)
    )
    assert_same(one.units, other.units)


@pytest.mark.parametrize("texts", permutations(TEXTS))
def test_one_generator_draws_for_all_rows_at_each_step(texts):
    """As published: [B, N] a step, also for rows that have ended, whichever ends first."""
    generator = torch.Generator().manual_seed(9)
    noise = torch.stack([torch.randn(3, 8, generator=generator) for _ in range(FRAMES)])
    model = debug_model()
    threshold, steps = threshold_that_parts_rows(model, texts, noise.unbind(1))
    spoken = generate(
        model,
        [Request(text) for text in texts],
        torch.Generator().manual_seed(9),
        DecodingOptions(stop_threshold=threshold, max_frames=FRAMES),
    )
    for row, generated in enumerate(spoken):
        latents, _ = speak_slowly(model, texts[row], noise[:, row], cfg=2.0)
        assert_same(generated.units, latents[: steps[row] + 1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near_float32(dtype):
    options = DecodingOptions(stop_threshold=NEVER, max_frames=4)
    requests = [Request(TEXTS[0], randn(3, 32))]
    full = generate(debug_model(), requests, generators(1), options)[0].units
    half = generate(debug_model().to(dtype), requests, generators(1), options)[0].units
    assert half.dtype == dtype
    assert (half.float() - full).norm() < 0.1 * full.norm()


# When it ends.

FRAMES = 20


def threshold_that_parts_rows(
    model: SpeechLM, texts: Sequence[Sequence[int]], noise: Sequence[Tensor]
) -> tuple[float, list[int]]:
    """A stop threshold under which the texts end at different steps, and those steps."""
    pairs = zip(texts, noise, strict=True)
    stops = [speak_slowly(model, text, one, cfg=2.0)[1] for text, one in pairs]
    for threshold in torch.cat(stops).sort().values.tolist():
        reached = [(stop >= threshold - 1e-5).nonzero().flatten().tolist() for stop in stops]
        steps = [first[0] if first else FRAMES for first in reached]
        if len(set(steps)) == 3 and min(steps) > 0:
            return threshold - 1e-5, steps
    raise AssertionError("no such threshold: choose another seed")


def test_a_row_stops_by_the_state_with_text_and_leaves_others_unchanged():
    model, noise = debug_model(), [noise_of(row, FRAMES) for row in range(3)]
    threshold, steps = threshold_that_parts_rows(model, TEXTS, noise)
    options = DecodingOptions(stop_threshold=threshold, max_frames=FRAMES)
    spoken = generate(model, [Request(text) for text in TEXTS], generators(3), options)
    for row, generated in enumerate(spoken):
        latents, _ = speak_slowly(model, TEXTS[row], noise[row], cfg=2.0)
        assert generated.stopped == (steps[row] < FRAMES)
        # The frame of the stopping step is drawn, but is not speech.
        assert_same(generated.units, latents[: steps[row] + 1])
        assert_same(generated.speech, latents[: steps[row]])


def speak(model: SpeechLM, text: Sequence[int], **options: object) -> Generated:
    return generate(model, [Request(text)], generators(1), DecodingOptions(**options))[0]


@pytest.mark.parametrize(("layout", "default"), zip(LAYOUTS, (0.8, 0.5), strict=True))
def test_default_stop_thresholds_are_the_published_ones(layout, default):
    model = debug_model(**layout)
    unset = speak(model, TEXTS[0], max_frames=60)
    spelled = speak(model, TEXTS[0], max_frames=60, stop_threshold=default)
    assert_same(unset.units, spelled.units)
    assert Decoder(model).join(Request(TEXTS[0])).stop_threshold == default


@pytest.mark.parametrize("num_tokens", range(1, 11))
def test_a_streaming_row_does_not_stop_before_it_has_read_its_text(num_tokens):
    text = [*range(20, 19 + num_tokens), EOS]
    spoken = speak(debug_model(**STREAM), text, stop_threshold=AT_ONCE)
    full_chunks_before_the_last = (num_tokens - 1) // STREAM["stream_n"]
    assert len(spoken.speech) == full_chunks_before_the_last * STREAM["stream_m"]
    assert spoken.stopped


def test_a_streaming_row_may_stop_earlier_if_asked_to():
    options = {"stop_threshold": AT_ONCE, "stop_before_text_end": True}
    assert len(speak(debug_model(**STREAM), TEXTS[2], **options).speech) == 0


@both_layouts
def test_min_frames_is_the_least_speech(layout):
    spoken = speak(debug_model(**layout), [0, 5, 2], stop_threshold=AT_ONCE, min_frames=7)
    assert len(spoken.speech) == 7
    assert spoken.stopped


@both_layouts
@pytest.mark.parametrize("cfg", [1.0, 2.0])
def test_limits_cut_a_row_that_does_not_stop(layout, cfg):
    model = debug_model(**layout)
    for limit, expected in (({"max_frames": 7}, 7), ({"max_length": 30}, 30 - 8 - 5), ({}, 243)):
        options = DecodingOptions(cfg=cfg, stop_threshold=NEVER, **limit)
        spoken = generate(model, [Request(TEXTS[0], randn(5, 32))], generators(1), options)[0]
        assert len(spoken.speech) == len(spoken.units) == expected
        assert not spoken.stopped


def test_the_shorter_text_of_a_batch_has_the_longer_speech():
    """Each row may fill all positions, whatever stands beside it."""
    options = DecodingOptions(stop_threshold=NEVER, max_length=40)
    model = debug_model(**STREAM)
    spoken = generate(model, [Request(text) for text in TEXTS], generators(3), options)
    assert [len(one.units) for one in spoken] == [40 - len(text) for text in TEXTS]


# What is refused.


@pytest.mark.parametrize(
    ("requests", "options", "message"),
    [
        ([], {}, "at least one request"),
        ([Request([])], {}, "empty text"),
        ([Request([0, 5, 2])] * 2, {}, "1 generators for 2 texts"),
        ([Request([0, 5], text_ended=False)], {}, "has not ended"),
        ([Request(list(range(256)))], {}, "256 tokens and 0 prompt frames"),
        ([Request([0, 5, 2], torch.zeros(253, 32))], {}, "3 tokens and 253 prompt frames"),
        ([Request([0, 5, 2])], {"max_length": 3}, "none of 3 positions"),
    ],
)
def test_what_cannot_be_spoken_is_refused(requests, options, message):
    with pytest.raises(ValueError, match=message):
        generate(debug_model(), requests, generators(1), DecodingOptions(**options))


@pytest.mark.parametrize(
    "options",
    [
        {"cfg": -0.1},
        {"temperature": -1.0},
        {"draws": 0},
        {"stop_threshold": 0.0},
        {"min_frames": -1},
        {"max_frames": 0},
        {"min_frames": 5, "max_frames": 4},
    ],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        DecodingOptions(**options)
