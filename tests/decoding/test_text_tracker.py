"""The text tracker: the tokens in the channel follow the order of the text."""

import numpy as np
import pytest
import torch
from torch import Tensor

from sled.codec import TokenChannel
from sled.decoding import Decoder, DecodingOptions, Request, TextTracker, Utterance, generate
from sled.model.channel_tracker import (
    LONGEST_END_S,
    LONGEST_S,
    NOISE_SHARE,
    WINDOW,
)
from sled.model.layout import Layout
from tests.debug import debug_config, debug_model

NORM, WIDTH, LATENT_DIM = 12.0, 32, 40
CHANNEL = TokenChannel.random(320, WIDTH, NORM)
# Tokens that come again, near by and far away.
TEXT = [0, *range(10, 30), 12, 12, 13, *range(10, 30), 2]
ONCE = DecodingOptions(cfg=1)
NOBODY, EVERYBODY = np.zeros(1, bool), np.ones(1, bool)


def tracker() -> TextTracker:
    return TextTracker(CHANNEL, debug_config())


def utterance(text: list[int] = TEXT, options: DecodingOptions = ONCE, **more) -> Utterance:
    return Utterance.begin(Request(text, **more), [], options, None, Layout(), eos_token_id=2)


def frames_telling(numbers: list[int], text: list[int] = TEXT, noise: float = 0.0) -> Tensor:
    """[T, D] latents whose channels tell the tokens of these numbers."""
    at = torch.tensor(numbers)
    told = CHANNEL.vectors(torch.tensor(text)[at], at)
    generator = torch.Generator().manual_seed(0)
    told = told + noise * torch.randn(told.shape, generator=generator)
    return torch.cat((torch.ones(len(numbers), LATENT_DIM - WIDTH), told), 1)


def kept(frames: Tensor, one: Utterance) -> Tensor:
    """[T, D] what becomes of one utterance's frames."""
    tracks = tracker()
    return torch.cat([tracks.follow([one], frame[None], NOBODY, NOBODY)[0] for frame in frames])


def test_who_tells_a_text_in_order_is_believed_through_noise():
    path = sorted([*range(1, len(TEXT)), *range(1, len(TEXT), 2), *range(5, len(TEXT), 4)])
    noisy = frames_telling(path, noise=0.7 * NORM * NOISE_SHARE**0.5)
    assert torch.allclose(kept(noisy, utterance()), frames_telling(path))


@pytest.mark.parametrize("wrong", [2, 40])
def test_neither_repetitions_nor_leaps_are_told(wrong):
    """A token of long ago or of far ahead: the place stays near where it was."""
    path = list(range(1, 15))
    told = kept(frames_telling([*path, wrong, wrong]), utterance())
    near = {tuple(x) for x in frames_telling(list(range(13, 19))).tolist()}
    assert {tuple(x) for x in told[-2:].tolist()} <= near


def test_what_is_not_in_the_channel_stays_as_it_is():
    frames = frames_telling([1, 2, 9, 4], noise=3.0)
    told = kept(frames, utterance())
    assert told[:, :-WIDTH].equal(frames[:, :-WIDTH])


def test_only_what_has_been_read_can_be_said():
    """In the streaming layout, three tokens so far, whatever the frames tell."""
    growing = Utterance.begin(Request(TEXT[:3], text_ended=False), [], ONCE, None, Layout(3, 5), 2)
    told = kept(frames_telling([1, 2, 3, 4]), growing)
    read = {tuple(x) for x in frames_telling([1, 2]).tolist()}
    assert {tuple(x) for x in told.tolist()} == read


def test_before_a_text_has_been_read_frames_stay_as_they_are():
    """The prompt's text is all there is so far."""
    after_prompt = utterance([0, 5, 6], text_ended=False, prompt_tokens=3)
    frames = frames_telling([4, 5], noise=1.0)
    assert kept(frames, after_prompt).equal(frames)
    assert after_prompt.text_position is None


def test_speech_after_a_prompt_begins_where_the_prompt_ends():
    told = kept(frames_telling([5, 6]), utterance(prompt_tokens=5))
    assert torch.allclose(told, frames_telling([5, 6]))


def test_speech_may_stop_at_the_end_of_its_text_only():
    tracks, one = tracker(), utterance()
    frames = frames_telling([*range(1, 45)])
    stops = [
        bool(tracks.follow([one], frame[None], EVERYBODY, EVERYBODY)[1][0]) for frame in frames
    ]
    assert stops == [False] * (len(TEXT) - 3) + [True, True]


def test_no_token_lasts_for_ever():
    """Who tells the same again and again is told to go on, and to end after the last token."""
    tracks, one, told, stops = tracker(), utterance(), [], []
    vectors = CHANNEL.vectors(torch.tensor(TEXT), torch.arange(len(TEXT)))
    for frame in frames_telling([1, 2, 3, 4, 5, *[5] * 4000]):
        latents, stopped = tracks.follow([one], frame[None], NOBODY, EVERYBODY)
        distances = (vectors - latents[0, -WIDTH:]).norm(dim=1)
        told.append(one.text_position.best)
        assert distances[told[-1]] < 1e-4
        stops.append(bool(stopped[0]))
    lasting = [told.count(token) for token in range(1, len(TEXT) - 1)]
    assert told == sorted(told)
    longest, longest_end = (
        round(s * debug_config().architecture.frame_rate) for s in (LONGEST_S, LONGEST_END_S)
    )
    assert max(lasting) <= longest + 1
    end = stops.index(True)
    assert told[end] == len(TEXT) - 1  # </s>
    assert end - told.index(told[end]) in (longest_end, longest_end + 1)
    assert not any(stops[:end]) and all(stops[end:])


def test_who_may_not_end_yet_is_not_ended():
    tracks, one = tracker(), utterance()
    for frame in frames_telling([*range(1, len(TEXT)), *[len(TEXT) - 1] * 100]):
        assert not tracks.follow([one], frame[None], NOBODY, NOBODY)[1].any()


@pytest.mark.parametrize(("options", "length"), [({}, None), ({"stop_threshold": 2.0}, 200)])
def test_the_limits_of_length_hold_for_ends_without_the_model(options, length):
    """At a threshold that no probability reaches it never ends by itself."""
    model = debug_model(vae_embed_dim=LATENT_DIM)
    decoder = Decoder(model, text_tracker=TextTracker(CHANNEL, model.config))
    limits = DecodingOptions(
        **{"stop_threshold": 1.0, "max_frames": 200, "min_frames": 100} | options
    )
    decoder.join(Request([0, 5, 2]), torch.Generator().manual_seed(0), limits)
    count = 0
    while decoder.utterances:
        count += len(decoder.step().utterances)
    assert count == length if length else 100 <= count < 200


def test_text_that_is_late_may_be_waited_for(monkeypatch):
    """A token lasts if there is none to go on to, and speech goes on when there is."""
    one, known = utterance(), 3
    monkeypatch.setattr(one.rows[0], "tokens_read", lambda i, j: TEXT[i : min(j, known)])
    path = [1, *[2] * 200]
    told = kept(frames_telling(path, noise=1.0), one)
    assert torch.allclose(told, frames_telling(path))
    assert one.text_position is not None and one.text_position.lasted == 200
    known = 6
    kept(frames_telling([2], noise=1.0), one)
    assert one.text_position.best == 3


def test_each_utterance_is_followed_by_itself_and_only_if_asked():
    paths = [[1, 2, 3, 30, 4], [1, 1, 1, 2, 3], [4, 4, 4, 4, 4]]
    frames = [frames_telling(path) for path in paths]
    options = [ONCE, ONCE, DecodingOptions(cfg=1, track_text=False)]
    alone = [kept(x, utterance(options=o)) for x, o in zip(frames, options, strict=True)]
    tracks, company = tracker(), [utterance(options=o) for o in options]
    nobody = np.zeros(3, bool)
    together = torch.stack(
        [tracks.follow(company, x, nobody, nobody)[0] for x in torch.stack(frames, 1)], 1
    )
    assert together.equal(torch.stack(alone))
    assert together[2].equal(frames[2])


def test_the_place_is_part_of_a_saved_utterance():
    """A restored utterance gives the same units as if it had not been saved."""
    model = debug_model(vae_embed_dim=LATENT_DIM)
    options = DecodingOptions(stop_threshold=2.0, max_frames=12)
    request, follow = Request(TEXT), TextTracker(CHANNEL, model.config)
    seeded = [torch.Generator().manual_seed(3) for _ in range(2)]
    whole = generate(model, [request], seeded[:1], options, text_tracker=follow)[0].units
    decoder = Decoder(model, text_tracker=follow)
    one = decoder.join(request, seeded[1], options)
    first = [decoder.step().units[0] for _ in range(5)]
    state = decoder.save(one)
    other = Decoder(model, text_tracker=follow)
    other.restore(state)
    second = [other.step().units[0] for _ in range(7)]
    assert torch.allclose(torch.stack(first + second), whole, atol=1e-5)
    vectors = {
        tuple(np.round(x, 4))
        for x in CHANNEL.vectors(torch.tensor(TEXT), torch.arange(len(TEXT))).numpy()
    }
    assert {tuple(np.round(x, 4)) for x in whole[:, -WIDTH:].numpy()} <= vectors


def test_a_window_moves_with_its_utterance():
    one = utterance()
    kept(frames_telling(list(range(1, 40))), one)
    assert one.text_position is not None
    assert 39 - WINDOW < one.text_position.first <= 39
