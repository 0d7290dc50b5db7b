"""The attention tracker: positions in the text from the head that was taught to read along."""

import math

import numpy as np
import pytest
import torch

from sled.bundled import bundled_model
from sled.decoding import AttentionTracker, Decoder, DecodingOptions, Request, TextTracker
from sled.fast import make_fast
from sled.model.cache import KVCache
from sled.model.layout import Layout
from sled.model.registry import load_speech_lm
from sled.tts import TTS
from tests.debug import debug_codec, debug_model, debug_tokenizer
from tests.model.test_guided_attention import LAYER, LAYOUTS, attention_by_hand

TEXT = [0, *range(10, 20), 2]
FRAMES = 24


def taught_model(**changes: object):
    model = debug_model(min_frames_per_token=1.5, max_frames_per_token=3.0, **changes)
    model.config.speaking.alignment_layer = LAYER
    return model


class Recorder(AttentionTracker):
    """Keeps the logits that it sees, and answers with others if it is told to."""

    def __init__(self, config, says=None) -> None:
        super().__init__(config)
        self.seen: list[tuple[list[int], np.ndarray]] = []
        self.says = says

    def watch(self, cache: KVCache) -> None:
        super().watch(cache)
        read = cache.attention

        def attention(row: int, places: list[int]) -> torch.Tensor:
            self.seen.append((places, read(row, places).numpy()))
            if self.says is None:
                return read(row, places)
            return 4.0 * (torch.tensor(places) == 1 + self.says(len(self.seen) - 1)).float()

        cache.attention = attention


def decode(model, layout: Layout, tracker: AttentionTracker, cfg: float = 2.0):
    """The drawn units [T, D], and the position after each of them."""
    decoder = Decoder(model, text_tracker=tracker)
    options = DecodingOptions(cfg=cfg, stop_threshold=2.0, max_frames=FRAMES)
    generator = torch.Generator().manual_seed(0)
    one = decoder.join(Request(TEXT), generator, options, layout)
    units, positions = [], []
    while (step := decoder.step()) is not None:
        units += list(step.units)
        positions += [one.text_position] * len(step.units)
    return torch.stack(units), positions


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(
    "form", [lambda model: model, lambda m: make_fast(m, "float32", show_attention=True)]
)
def test_it_sees_the_attention_that_was_taught(layout, form) -> None:
    """As computed by hand for the whole sequence at once."""
    tracker = Recorder(taught_model().config)
    units, _ = decode(form(taught_model()), layout, tracker)
    sample = {"input_ids": torch.tensor([TEXT]), "units": units[None]}
    expected, order = attention_by_hand(taught_model(), sample, layout)
    assert len(tracker.seen) == len(units) == FRAMES
    for frame, (places, logits) in enumerate(tracker.seen):
        predictor = order.index(("frame", frame)) - 1
        assert all(order[place][0] == "token" for place in places)
        assert order[places[0]][1] >= 1 and max(places) <= predictor
        np.testing.assert_allclose(logits, expected[predictor, places].detach(), atol=1e-4)


@pytest.mark.parametrize("pace", [0.4, 0.7])
def test_positions_follow_the_attention_and_speech_stays_as_it_is(pace) -> None:
    def token(frame: int) -> int:
        return min(math.floor(pace * frame), len(TEXT) - 2)

    model = taught_model()
    units, positions = decode(model, Layout(), Recorder(model.config, token))
    said = [one.best for one in positions]
    assert said == sorted(said)
    off = [abs(said[frame] - 1 - token(frame)) for frame in range(FRAMES)]
    assert max(off) <= 1 and np.mean(off) < 0.3
    alone = Decoder(model)
    options = DecodingOptions(cfg=2.0, stop_threshold=2.0, max_frames=FRAMES)
    alone.join(Request(TEXT), torch.Generator().manual_seed(0), options, Layout())
    plain = []
    while (step := alone.step()) is not None:
        plain += list(step.units)
    assert torch.stack(plain).equal(units)


def test_speech_has_marks_if_a_head_was_taught() -> None:
    plain = TTS(debug_model(), debug_tokenizer(), debug_codec())
    assert not plain.has_marks
    tts = TTS(taught_model(max_position_embeddings=512), debug_tokenizer(), debug_codec())
    assert tts.has_marks
    marks = tts.say("four two seven", seed=1).marks
    assert [mark.text for mark in marks] == ["four", "two", "seven"][: len(marks)] and marks
    assert all(a.start_s <= b.start_s for a, b in zip(marks, marks[1:], strict=False))


def test_the_head_of_digits_agrees_with_its_token_channel() -> None:
    """Two witnesses of the same speech: what the units tell, and where the taught head looks."""
    tts = TTS.from_pretrained("digits", dtype="float32")
    model = load_speech_lm(bundled_model("digits").folder, torch.float32)
    head = AttentionTracker(model.config)
    seen: list[tuple[int, int]] = []

    class Both(TextTracker):
        mine = None

        def watch(self, cache) -> None:
            head.watch(cache)

        def follow(self, utterances, units, stopped, may_stop):
            (one,) = utterances
            told, one.text_position = one.text_position, self.mine
            head.follow(utterances, units, stopped, may_stop)
            self.mine, one.text_position = one.text_position, told
            followed = super().follow(utterances, units, stopped, may_stop)
            seen.append((one.text_position.best, self.mine.best))
            return followed

    decoder = Decoder(model, text_tracker=Both(tts.codec.token_channel, model.config))
    token_ids = tts.tokenizer.encode(" zero eight three three five")
    decoder.join(Request(token_ids), torch.Generator().manual_seed(1), tts.default_options)
    while decoder.step() is not None:
        pass
    told, looked = np.array(seen).T
    assert len(seen) > 20
    assert (told == looked).mean() > 0.9
    assert len(set(told)) >= 5
