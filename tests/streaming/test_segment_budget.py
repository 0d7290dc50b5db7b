"""Segments, prompts included, are not longer than the speech that a model was trained on."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.decoding import DecodingOptions
from sled.model.config import Architecture, Config, Speaking
from sled.model.layout import Layout
from sled.streaming.segment_budget import SegmentBudget, max_prompt_frames
from sled.streaming.segment_runner import SegmentRunner
from sled.streaming.voice import Prompt
from sled.text.segments import split_segments
from sled.tts import TTS
from tests.debug import (
    HOP,
    LAYOUT_IDS,
    LAYOUTS,
    SAMPLE_RATE,
    debug_codec,
    debug_config,
    debug_model,
    debug_prompt,
    debug_tokenizer,
    debug_waveform,
)

SENTENCE = "Four two seven one. "
# Every segment stops as soon as it may: after so many frames for each of its tokens.
PACE = 3
OPTIONS = DecodingOptions(stop_threshold=1e-9, length_tolerance=1.0, cfg=1.0)
TRAINED = 100
both_layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)


def debug_tts(**changes: object) -> TTS:
    lengths = {"min_frames_per_token": PACE, "max_frames_per_token": PACE + 0.5}
    sizes = {"trained_frames": TRAINED, "max_position_embeddings": 8192}
    return TTS(debug_model(**(lengths | sizes | changes)), debug_tokenizer(), debug_codec())


def prompt_of(num_frames: int) -> Prompt:
    return debug_prompt("one", debug_waveform(num_frames * HOP / SAMPLE_RATE))


@dataclass
class Spoken:
    """Frames of a sequence that the model has spoken: those it continued, and its own."""

    past: int
    own: int

    @property
    def total(self) -> int:
        return self.past + self.own


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch) -> list[Spoken]:
    found: list[Spoken] = []
    end = SegmentRunner._end_segment

    def record(runner: SegmentRunner, utterance: object, stopped: bool) -> None:
        past = sum(len(one.units) for one in runner.history.spoken)
        found.append(Spoken(past, len(runner.speech.units)))
        assert stopped
        end(runner, utterance, stopped)  # type: ignore[arg-type]

    monkeypatch.setattr(SegmentRunner, "_end_segment", record)
    return found


def say_live(tts: TTS, text: str, **settings: object) -> np.ndarray:
    with tts.open_session(decoding=OPTIONS, max_ahead_s=None, **settings) as session:
        session.feed(text)
        session.flush()
        return np.concatenate(list(session))


@both_layouts
@pytest.mark.parametrize("prompt_frames", [0, 22, 65])
@pytest.mark.parametrize("live", [False, True], ids=["whole", "live"])
def test_however_long_a_text_no_sequence_is_longer_than_in_training(
    layout, prompt_frames, live, spoken
):
    tts = debug_tts(**layout)
    prompt = prompt_of(prompt_frames) if prompt_frames else None
    if live:
        audio = say_live(tts, 8 * SENTENCE, voice=prompt)
    else:
        audio = tts.say(8 * SENTENCE, prompt=prompt, options=OPTIONS).audio
    assert len(spoken) > 1
    assert max(one.total for one in spoken) <= TRAINED
    assert len(audio) == HOP * sum(one.own for one in spoken)
    # Each segment but the first continues something: the voice, or what was said before.
    assert min(one.past for one in spoken[1:]) >= (prompt_frames or PACE)
    # Nothing is left out. What is continued has an <s>, and each segment has an </s> of its own.
    num_tokens = len(tts.tokenizer.encode(8 * SENTENCE)) - 2
    starts = 0 if prompt else 1
    assert sum(one.own for one in spoken) >= PACE * (num_tokens + len(spoken) + starts)


def test_a_text_of_the_length_of_training_is_said_in_one_piece(spoken):
    text = (4 * SENTENCE).replace(".", "").strip()  # short sentences would be a list
    most = math.ceil(math.sqrt(PACE * (PACE + 0.5)) * len(debug_tokenizer().encode(text)))
    for trained, whole in ((most, True), (most - 1, False)):
        spoken.clear()
        debug_tts(trained_frames=trained).say(text, options=OPTIONS)
        assert (len(spoken) == 1) == whole
    # With a voice there is less room.
    spoken.clear()
    debug_tts(trained_frames=most).say(text, prompt=prompt_of(15), options=OPTIONS)
    assert len(spoken) > 1


def test_a_wish_for_more_positions_brings_no_longer_sequences(spoken):
    options = replace(OPTIONS, max_length=8000)
    debug_tts().say(8 * SENTENCE, options=options)
    assert max(one.total for one in spoken) <= TRAINED


def test_without_a_voice_even_a_long_segment_is_continued(spoken):
    """A model that knows many voices would else go on in another one."""
    tts = debug_tts(trained_frames=45)
    slow = replace(OPTIONS, min_frames=30, length_tolerance=None)  # half of 45 may be continued
    with tts.open_session(decoding=slow) as session:
        session.feed(6 * SENTENCE)
        session.flush()
        list(session)
    assert [one.past for one in spoken[:3]] == [0, spoken[0].own, spoken[0].own]


def test_no_word_is_cut_for_what_was_trained_on(spoken, monkeypatch):
    """A number would be said as two."""
    texts: list[str] = []
    end = SegmentRunner._end_segment

    def record(runner: SegmentRunner, utterance: object, stopped: bool) -> None:
        texts.append(runner.speech.text)
        end(runner, utterance, stopped)  # type: ignore[arg-type]

    monkeypatch.setattr(SegmentRunner, "_end_segment", record)
    text = "two one 1234567 million nine 1234567 7654321 two"
    tts = debug_tts(trained_frames=50)
    tts.say(text, options=OPTIONS)
    words = [word for segment in texts for word in segment.split()]
    assert len(texts) > 2
    assert words == text.split()
    assert any("1234567 million" in segment for segment in texts)


def test_checkpoints_that_do_not_tell_say_a_text_in_one_piece(spoken):
    debug_tts(trained_frames=None).say(8 * SENTENCE, options=OPTIONS)
    assert len(spoken) == 1


def test_a_prompt_may_take_two_thirds_of_the_length_of_training(monkeypatch):
    tts = debug_tts(trained_frames=300)
    assert tts.max_prompt_s == pytest.approx(200 * HOP / SAMPLE_RATE)
    assert len(tts.make_voice(prompt_of(200)).units) == 200
    monkeypatch.setattr(tts.codec, "encode", None)  # refused at once, however long it is
    message = "lasts 2.7 s, and the model was trained on no more than 4.0 s .* at most 2.7 s"
    with pytest.raises(ValueError, match=message):
        tts.make_voice(prompt_of(201))
    assert debug_tts(trained_frames=None).max_prompt_s is None


@given(
    trained=st.integers(60, 5000),
    share=st.floats(0, 1),
    low=st.floats(0.5, 5),
    ratio=st.floats(1, 4),
    layout=st.sampled_from([Layout(), Layout(5, 45), Layout(12, 11)]),
)
def test_a_segment_and_what_it_continues_fit_together(trained, share, low, ratio, layout):
    config = Config(
        Architecture(max_position_embeddings=100_000),
        speaking=Speaking(
            trained_frames=trained,
            min_frames_per_token=low,
            max_frames_per_token=low * ratio,
        ),
    )
    longest = max_prompt_frames(config)
    assert longest is not None
    prompt = int(share * longest)
    room = SegmentBudget(config, DecodingOptions(), layout, prompt, prompt and prompt + 1)
    limits = room.segment_limits()
    assert prompt <= room.past_frames + 1e-6
    usual = low * math.sqrt(ratio)
    if limits.limit > 2:  # the fewest that there can be
        assert room.past_frames + usual * (limits.limit + 2) <= trained + 1e-6
        assert room.holds(limits.limit + 2, "")


def test_pauses_take_their_time_so_a_list_has_shorter_segments() -> None:
    config = debug_config(
        trained_frames=800,
        min_frames_per_token=8.0,
        max_frames_per_token=18.0,
        max_position_embeddings=4096,
    )
    budget = SegmentBudget(config, DecodingOptions(), Layout())
    limits = budget.segment_limits()
    assert (limits.stop, limits.comma) == (3, 2)  # half and a quarter of a second, 12 frames each
    prose, items = "one two three four five six. " * 9, "one. " * 40
    longest = [
        max(len(segment.split()) for segment in split_segments(text, limits, lambda _: 1))
        for text in (prose, items)
    ]
    assert longest[1] < longest[0] / 2
    assert budget.holds(40, "word " * 40) and not budget.holds(40, items)
