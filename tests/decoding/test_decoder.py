"""Utterances that come, wait, are put aside and go: each says what it says alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sled.decoding import Decoder, DecodingOptions, Request, Utterance, generate
from sled.model.layout import Layout
from tests.debug import LAYOUT_IDS, LAYOUTS, STREAM, debug_model, randn

NEVER = 2.0  # a stop threshold that no probability reaches
TEXT = [0, *range(10, 30), 2]
both_layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def endless(frames: int, **others: object) -> DecodingOptions:
    return DecodingOptions(stop_threshold=NEVER, max_frames=frames, **others)


def run(decoder: Decoder, steps: int | None = None) -> dict[Utterance, list[Tensor]]:
    """The frames that each utterance writes in so many steps, or until all have ended or wait."""
    written: dict[Utterance, list[Tensor]] = {one: [] for one in decoder.utterances}
    while decoder.utterances and steps != 0:
        step = decoder.step()
        if step is None:
            break
        for one, frame in zip(step.utterances, step.units, strict=True):
            written[one].append(frame)
        steps = None if steps is None else steps - 1
    return written


def assert_same(ours: list[Tensor] | Tensor, theirs: Tensor) -> None:
    ours = torch.stack(ours) if isinstance(ours, list) else ours
    assert ours.shape == theirs.shape
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


def alone(model, text, seed: int, options: DecodingOptions, prompt=None, layout=None) -> Tensor:
    return generate(model, [Request(text, prompt)], [seeded(seed)], options, layout)[0].units


@both_layouts
@given(
    sizes=st.lists(st.integers(0, 6), max_size=10),
    prompt_frames=st.integers(0, 30),
    cfg=st.sampled_from([1.0, 2.0]),
)
@settings(max_examples=15)
def test_text_that_grows_gives_what_the_whole_text_gives(layout, sizes, prompt_frames, cfg):
    """The rest of the text comes in pieces of any sizes, whenever the decoder waits for it."""
    model, options = debug_model(**layout), endless(20, cfg=cfg)
    prompt = randn(prompt_frames, 32) if prompt_frames else None
    decoder = Decoder(model)
    utterance = decoder.join(Request(TEXT[:1], prompt, text_ended=False), seeded(0), options)
    frames, rest = [], TEXT[1:]
    for size in sizes:
        frames += run(decoder)[utterance]
        if utterance not in decoder.utterances:  # all frames are written: the text came too late
            break
        decoder.feed(utterance, rest[:size])
        rest = rest[size:]
    if utterance in decoder.utterances:
        decoder.feed(utterance, rest, ended=True)
        frames += run(decoder)[utterance]
    assert_same(frames, alone(model, TEXT, 0, options, prompt))


def test_utterances_of_all_kinds_share_a_batch():
    """Both layouts, with and without guidance and prompt; they join one by one and leave early."""
    model = debug_model(**STREAM)
    kinds = [
        {"cfg": cfg, "prompt": prompt, "layout": layout}
        for cfg in (2.0, 1.0, 0.5)
        for prompt in (None, randn(9, 32))
        for layout in (None, Layout())
    ]
    decoder, written = Decoder(model), {}
    seeds: dict[Utterance, int] = {}

    def go_on(steps: int | None) -> None:
        for one, frames in run(decoder, steps).items():
            written.setdefault(one, []).extend(frames)

    for seed, kind in enumerate(kinds):
        numbers = {"temperature": 0.5 + seed / 10, "draws": 1 + seed % 3}
        options = endless(10 + seed % 3, cfg=kind["cfg"], **numbers)
        request = Request(TEXT[: 5 + seed], kind["prompt"])
        seeds[decoder.join(request, seeded(seed), options, kind["layout"])] = seed
        go_on(2)
        if seed == 6:
            decoder.leave(decoder.utterances[-3])  # hung up
    go_on(None)
    for one, frames in written.items():
        seed = seeds[one]
        kind = kinds[seed]
        whole = alone(model, TEXT[: 5 + seed], seed, one.options, kind["prompt"], kind["layout"])
        assert_same(frames, whole[: len(frames)])
    assert sum(len(frames) for frames in written.values()) > 100


@both_layouts
@pytest.mark.parametrize("cfg", [1.0, 2.0])
def test_a_saved_utterance_goes_on_as_if_never_put_aside(layout, cfg):
    """Saved at any point, in mid-text, twice, into another decoder, after the first went on."""
    model, options = debug_model(**layout), endless(12, cfg=cfg)
    whole = alone(model, TEXT, 0, options)
    for saved_after in (0, 3, 7):
        decoder = Decoder(model)
        utterance = decoder.join(Request(TEXT), seeded(0), options)
        frames = run(decoder, saved_after)[utterance]
        state = decoder.save(utterance)
        run(decoder)
        for _ in range(2):
            other = Decoder(model)
            other.join(Request(TEXT[:4]), seeded(5), endless(6))  # company
            revived = other.restore(state)
            assert_same([*frames, *run(other)[revived]], whole)


@both_layouts
def test_a_prompt_read_once_serves_many(layout):
    """What all have in common is read ahead and saved: the voice. Text, seed and cfg differ."""
    model, prompt = debug_model(**layout), randn(17, 32)
    decoder = Decoder(model)
    voice = decoder.join(Request(TEXT[:8], prompt, text_ended=False))
    decoder.read_ahead()
    state = decoder.save(voice)
    for seed, cfg in enumerate((2.0, 1.0, 3.0)):
        text, options = [*TEXT[: 12 + seed], 2], endless(10, cfg=cfg)
        decoder = Decoder(model)
        utterance = decoder.restore(state, options, seeded(seed))
        decoder.feed(utterance, text[8:], ended=True)
        assert_same(run(decoder)[utterance], alone(model, text, seed, options, prompt))


def test_a_state_saved_without_guidance_cannot_be_guided():
    decoder = Decoder(debug_model())
    state = decoder.save(decoder.join(Request(TEXT), seeded(0), DecodingOptions(cfg=1.0)))
    with pytest.raises(ValueError, match="under guidance"):
        decoder.restore(state, DecodingOptions(cfg=2.0))


def test_text_that_outgrows_the_positions_is_refused_or_cut():
    """Refused while nothing has been said, cut afterwards."""
    decoder = Decoder(debug_model(**STREAM))
    utterance = decoder.join(Request([0], text_ended=False), seeded(0))
    with pytest.raises(ValueError, match="too long: 281 tokens"):
        decoder.feed(utterance, list(range(10, 290)))
    assert utterance.rows[0].token_ids == [0]
    decoder = Decoder(debug_model(**STREAM))
    utterance = decoder.join(Request([0, 5, 6], text_ended=False), seeded(0))
    assert len(run(decoder, 2)[utterance]) == 2
    decoder.feed(utterance, list(range(10, 290)))
    assert len(run(decoder)[utterance]) == 1
    assert not decoder.utterances


@pytest.mark.parametrize("piece", [1, 3, 12, 20])
@pytest.mark.parametrize("positions", range(46, 60))
def test_the_model_reads_no_more_than_its_positions_however_text_comes(piece, positions):
    """An utterance whose next chunk of text would exceed them is cut before it waits for that."""
    layout = {"stream_n": 12, "stream_m": 11}
    model = debug_model(**layout, max_position_embeddings=positions)
    decoder = Decoder(model)
    options = DecodingOptions(stop_threshold=NEVER, cfg=1.0)
    utterance = decoder.join(Request([0], text_ended=False), seeded(0), options)
    read, advance = [0], model.advance

    def count(embeddings, rows, counts, cache):
        read[0] += sum(counts)
        return advance(embeddings, rows, counts, cache)

    model.advance = count
    exhausted = False
    while not exhausted:
        if (step := decoder.step()) is None:
            decoder.feed(utterance, [10] * piece)
        else:
            exhausted = any(step.exhausted)
    assert not decoder.utterances
    assert 30 <= read[0] < positions


def test_text_that_ends_without_a_token_is_refused():
    decoder = Decoder(debug_model())
    for ended in (True, False):
        with pytest.raises(ValueError, match="at least one token"):
            decoder.feed(decoder.join(Request([], text_ended=ended), seeded(0)), [], ended=True)


@both_layouts
def test_an_utterance_can_be_brought_up_to_date_at_any_time(layout):
    """Which changes nothing that is decoded; without it, only the end of the batch does so."""
    decoder = Decoder(debug_model(**layout))
    looked_at = decoder.join(Request(TEXT), seeded(0), endless(20))
    left_alone = decoder.join(Request(TEXT), seeded(0), endless(20))
    frames: dict[Utterance, list[Tensor]] = {looked_at: [], left_alone: []}
    for written in range(1, 20):
        for one, new in run(decoder, 1).items():
            frames[one] += new
        if not new:
            continue
        decoder.update(looked_at)
        assert looked_at.num_written == len(frames[looked_at])
        assert looked_at.rows[0].num_frames == looked_at.rows[1].num_frames == written
        assert torch.equal(looked_at.rows[1].unread[-1], frames[looked_at][-1])
        assert not looked_at.waits_for_text
    assert_same(frames[looked_at], torch.stack(frames[left_alone]))
    decoder.update(left_alone)
    assert left_alone.num_written == 19


def test_options_of_each_utterance_hold_for_it_alone():
    """Thresholds, limits and pauses, of utterances that come at different times."""
    model = debug_model()
    kinds = [
        DecodingOptions(stop_threshold=0.6, min_frames=3, max_frames=30),
        DecodingOptions(stop_threshold=0.4, max_frames=25, cfg=1.0),
        DecodingOptions(stop_threshold=0.9, max_frames=9),
        DecodingOptions(stop_threshold=0.5, min_frames=12, max_length=40),
    ]
    decoder, written, ends = Decoder(model), {}, {}
    seeds: dict[Utterance, int] = {}

    def go_on() -> None:
        if (step := decoder.step()) is None:  # the only one is paused
            return
        for one, frame, *end in zip(
            step.utterances, step.units, step.stopped, step.exhausted, strict=True
        ):
            written.setdefault(one, []).append(frame)
            ends[one] = end

    for seed in range(12):
        newest = decoder.join(Request(TEXT[: 4 + seed]), seeded(seed), kinds[seed % 4])
        seeds[newest] = seed
        for waiting in (False, True, False):
            (decoder.pause if waiting else decoder.resume)(newest)
            go_on()
    while decoder.utterances:
        go_on()
    for one, seed in seeds.items():
        (whole,) = generate(model, [Request(TEXT[: 4 + seed])], [seeded(seed)], kinds[seed % 4])
        assert_same(written[one], whole.units)
        assert ends[one] == [whole.stopped, not whole.stopped]
