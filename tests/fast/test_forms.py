"""Fast forms give the units of the plain form: exactly in float32, closely in fewer bits."""

import pytest
import torch
from torch import Tensor

from sled.benchmarks.fidelity import measure_fidelity
from sled.decoding import Decoder, DecodingOptions, Request, Utterance, generate
from sled.fast.native import NativeModel
from sled.model.interface import FrameModel
from sled.model.layout import Layout
from tests.debug import LAYOUT_IDS, LAYOUTS, STREAM, debug_model, randn
from tests.fast.forms import (
    EXACT,
    NEEDS_KERNELS,
    NEEDS_RUNTIME,
    ROUNDED,
    SIZES,
    fast_model,
    plain_model,
)

NEVER = 2.0
TEXTS = [[0, 17, 45, 81, 17, 99, 23, 2], [0, 33, 2], [0, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 2]]
# Bounds of ||fast - plain|| / ||plain|| of a single frame, from rounded weights and inputs.
BOUNDS = {"bfloat16": 0.03, "int8": 0.03, "native_int8": 0.03}
BOUNDS |= {"native_int4": 0.15, "native_int4_avx2": 0.15}

both_layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def endless(frames: int, **others: object) -> DecodingOptions:
    return DecodingOptions(stop_threshold=NEVER, max_frames=frames, **others)


def speak(model: FrameModel, options: DecodingOptions, prompts: bool = False) -> Tensor:
    """The frames [B, T, D] of a ragged batch."""
    requests = [
        Request(text, randn(3 * row, 32, seed=row) if prompts and row else None)
        for row, text in enumerate(TEXTS)
    ]
    generated = generate(model, requests, [seeded(row) for row in range(3)], options)
    return torch.stack([one.units.float() for one in generated])


def assert_same(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).norm() <= tolerance * theirs.norm()


@both_layouts
@pytest.mark.parametrize("form", EXACT)
@pytest.mark.parametrize("cfg", [1.0, 2.0])
@pytest.mark.parametrize("prompts", [False, True])
def test_a_ragged_batch_speaks_as_the_plain_form_does(form, layout, cfg, prompts):
    options = endless(20, cfg=cfg)
    ours = speak(fast_model(form, **layout), options, prompts)
    assert_same(ours, speak(plain_model(**layout), options, prompts))


@pytest.mark.parametrize("form", EXACT)
@pytest.mark.parametrize(
    "sizes",
    [
        {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16},
        {"num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 32, "hidden_size": 48},
        {"num_hidden_layers": 1, "diffloss_d": 1, "intermediate_size": 40},
    ],
)
def test_models_of_all_shapes_speak_as_their_plain_forms_do(form, sizes):
    options = endless(12)
    assert_same(speak(fast_model(form, **sizes), options), speak(plain_model(**sizes), options))


@pytest.mark.parametrize("form", EXACT)
def test_speech_may_outgrow_the_initial_cache(form):
    sizes = {"max_position_embeddings": 512}
    options = endless(400)
    assert_same(speak(fast_model(form, **sizes), options), speak(plain_model(**sizes), options))


def frames_of(decoder: Decoder, steps: int) -> dict[Utterance, list[Tensor]]:
    written: dict[Utterance, list[Tensor]] = {}
    for _ in range(steps):
        step = decoder.step()
        if step is None:
            break
        for one, frame in zip(step.utterances, step.units, strict=True):
            written.setdefault(one, []).append(frame)
    return written


@pytest.mark.parametrize("form", EXACT)
def test_utterances_join_wait_and_leave_at_any_time(form):
    """The rows of a step are any rows of the cache."""

    def conversation(model: FrameModel) -> list[Tensor]:
        decoder = Decoder(model)
        kinds = [(1.0, None), (2.0, Layout()), (1.0, Layout()), (3.0, None), (2.0, None)]
        everyone = [
            decoder.join(Request(TEXTS[i % 3]), seeded(i), endless(15, cfg=cfg), layout)
            for i, (cfg, layout) in enumerate(kinds)
        ]
        written: dict[Utterance, list[Tensor]] = {one: [] for one in everyone}
        for waiting in ([], [1], [0, 2], [3], []):
            for i, one in enumerate(everyone):
                (decoder.pause if i in waiting else decoder.resume)(one)
            for one, frames in frames_of(decoder, 3).items():
                written[one] += frames
            if waiting == [3]:
                decoder.leave(everyone[0])
        return [torch.stack(frames) for frames in written.values()]

    for ours, theirs in zip(
        conversation(fast_model(form, **STREAM)), conversation(plain_model(**STREAM)), strict=True
    ):
        assert_same(ours, theirs)


@both_layouts
@pytest.mark.parametrize("form", EXACT)
def test_one_form_continues_what_another_has_saved(form, layout):
    plain, fast = plain_model(**layout), fast_model(form, **layout)
    options = endless(14)
    whole = generate(plain, [Request(TEXTS[2])], [seeded(0)], options)[0].units
    for first, second in ((plain, fast), (fast, plain)):
        decoder = Decoder(first)
        utterance = decoder.join(Request(TEXTS[2]), seeded(0), options)
        frames = frames_of(decoder, 6)[utterance]
        other = Decoder(second)
        revived = other.restore(decoder.save(utterance))
        frames += frames_of(other, 14)[revived]
        assert_same(torch.stack(frames), whole)


@both_layouts
@pytest.mark.parametrize("form", ["bfloat16", *ROUNDED])
def test_fewer_bits_change_frames_by_little(form, layout):
    """Both after frames of the plain form and after own frames, where errors must not grow."""
    requests = [Request(text) for text in TEXTS]
    fidelity = measure_fidelity(
        plain_model(**layout), fast_model(form, **layout), requests, num_frames=30
    )
    assert 0 < fidelity.forced < BOUNDS[form]
    assert fidelity.free < 3 * BOUNDS[form]


@pytest.mark.parametrize("form", ROUNDED)
def test_rounding_does_not_depend_on_other_rows(form):
    """Inputs of a row are rounded as if it were alone."""
    model, options = fast_model(form), endless(20)
    together = speak(model, options)
    for row, text in enumerate(TEXTS):
        alone = generate(model, [Request(text)], [seeded(row)], options)[0].units
        assert_same(together[row], alone, 1e-4)


@NEEDS_KERNELS
@pytest.mark.parametrize("bits", [8, 32])
def test_threads_of_the_kernels_do_not_change_a_frame(bits):
    """Each output is computed by one thread, whichever it is; more threads than cores may wait."""
    options, usual = endless(60), torch.get_num_threads()
    alone = speak(NativeModel(debug_model(**SIZES), bits, threads=1), options)
    torch.set_num_threads(4)
    try:
        together = speak(NativeModel(debug_model(**SIZES), bits, threads=4), options)
    finally:
        torch.set_num_threads(usual)
    assert together.equal(alone)


def test_half_precision_is_the_plain_forms():
    options = endless(10)
    ours = speak(fast_model("bfloat16"), options)
    theirs = speak(debug_model(**SIZES).bfloat16(), options)
    assert_same(ours, theirs, 0.05)


@pytest.mark.parametrize("form", [*EXACT, *ROUNDED])
def test_a_digest_names_weights_and_precision(form):
    first, again, other = (fast_model(form, seed).digest() for seed in (0, 0, 1))
    assert first == again != other
    assert first != plain_model().digest()


@NEEDS_RUNTIME
def test_a_head_width_that_the_runtime_cannot_rotate_is_refused():
    with pytest.raises(ValueError, match="head_dim=8"):
        fast_model("int8", num_attention_heads=4)
