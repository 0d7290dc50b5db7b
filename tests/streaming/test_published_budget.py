"""Published models of speech tokens get texts and recordings as their front end cuts them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled import TTS, Layout
from sled.decoding import DecodingOptions
from sled.model.config import Config
from sled.model.tokens.cosyvoice import CosyVoiceLM
from sled.model.tokens.cosyvoice2 import CosyVoice2LM
from sled.model.tokens.simpletts import SimpleTTSLM
from sled.streaming.segment_budget import SegmentBudget, check_prompt, max_prompt_frames
from sled.streaming.segment_runner import SegmentRunner
from sled.text.segments import split_segments
from tests.ids import debug_id_codec
from tests.tokens import (
    debug_cosyvoice,
    debug_cosyvoice2,
    debug_simpletts,
    debug_token_tokenizer,
    with_random_weights,
)

LONGEST_PART, MOST_IN_TRAINING = 80, 200  # text tokens


def configs() -> dict[str, Config]:
    """Configurations with the published rates and positions; nothing else matters here."""
    two = replace(debug_cosyvoice2().sizes, frame_rate=25.0, max_position_embeddings=32_768)
    one, simple = debug_cosyvoice().sizes, replace(debug_simpletts().sizes, frame_rate=25.0)
    return {
        "CosyVoice2": CosyVoice2LM(two).config,
        "CosyVoice": CosyVoiceLM(replace(one, frame_rate=50.0)).config,
        "CosyVoice at 25 Hz": CosyVoiceLM(replace(one, frame_rate=25.0)).config,
        "SimpleTTS": SimpleTTSLM(simple).config,
    }


CONFIGS = configs()
each = pytest.mark.parametrize("name", CONFIGS)
# SimpleTTS has learned from clips of up to 30 s, prompt and new speech together.
PROMPT_S = dict.fromkeys(CONFIGS, 30.0) | {"SimpleTTS": 20.0}
# Seconds of speech that are continued, at most.
PAST_S = dict.fromkeys(CONFIGS, 30.0) | {"SimpleTTS": 20.0}


def budget_of(
    config: Config, prompt_s: float = 0.0, text: int = 0, layout: Layout | None = None
) -> SegmentBudget:
    frames = int(prompt_s * config.architecture.frame_rate)
    options = DecodingOptions.of_model(config)
    return SegmentBudget(config, options, layout or Layout(), frames, frames + text)


@each
def test_recordings_are_as_long_as_the_front_end_allows(name: str) -> None:
    config, seconds = CONFIGS[name], PROMPT_S[name]
    rate = config.architecture.frame_rate
    assert max_prompt_frames(config) == seconds * rate
    check_prompt(config, round(seconds * rate))
    for longer in (seconds + 1 / rate, 120.0):
        with pytest.raises(ValueError, match=f"take one of at most {seconds:.1f} s"):
            check_prompt(config, round(longer * rate))


@given(
    name=st.sampled_from(list(CONFIGS)),
    share=st.floats(0, 1),
    text=st.integers(0, 120),
    streaming=st.booleans(),
)
def test_no_part_of_a_text_is_longer_than_published(
    name: str, share: float, text: int, streaming: bool
) -> None:
    config = CONFIGS[name]
    rate = config.architecture.frame_rate
    layout = Layout.for_streaming(config) if streaming else Layout()
    budget = budget_of(config, share * PROMPT_S[name], text, layout)
    limits = budget.segment_limits()
    assert limits.limit <= limits.largest <= LONGEST_PART
    assert limits.items is None  # a list is said as any other text
    assert not budget.holds(LONGEST_PART + 2, "")  # `eos_token_id` is one of them
    assert budget.past_frames <= PAST_S[name] * rate
    past_tokens = budget.past_frames / (2 * 20) ** 0.5  # at the usual pace
    if rate == 25.0:
        assert past_tokens + limits.largest <= MOST_IN_TRAINING


def test_the_tokens_at_the_ends_of_a_text_do_not_count() -> None:
    sizes = replace(debug_simpletts().sizes, frame_rate=25.0, text_begin_id=1, text_end_id=2)
    budget = budget_of(SimpleTTSLM(sizes).config)
    assert budget.holds(LONGEST_PART + 3, "") and not budget.holds(LONGEST_PART + 4, "")


@each
def test_a_short_text_is_one_part_and_a_long_one_is_not(name: str) -> None:
    budget = budget_of(CONFIGS[name])
    assert budget.holds(LONGEST_PART + 1, "")
    assert not budget.holds(1500, "")
    limits = budget.segment_limits()
    chinese = "今天天气很好我们散步" * 60  # no mark, no space
    parts = split_segments(chinese, limits)
    assert "".join(parts) == chinese
    assert max(map(len, parts)) <= LONGEST_PART
    assert min(map(len, parts[:-1])) >= limits.target


def test_a_long_text_is_spoken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = replace(debug_cosyvoice2().sizes, max_position_embeddings=4096)
    model = with_random_weights(CosyVoice2LM(sizes), 1)
    tts = TTS(model, debug_token_tokenizer(model), debug_id_codec())
    parts, past = list[int](), list[int]()
    end = SegmentRunner._end_segment

    def record(runner: SegmentRunner, utterance: object, stopped: bool) -> None:
        parts.append(len(tts.tokenizer.encode(runner.speech.text)) - 1)
        past.append(sum(len(one.units) for one in runner.history.spoken))
        end(runner, utterance, stopped)  # type: ignore[arg-type]

    monkeypatch.setattr(SegmentRunner, "_end_segment", record)
    text = "It was silent and gloomy there. " * 12
    tts.say(text, seed=1)
    whole = len(tts.tokenizer.encode(text)) - 1
    assert whole > LONGEST_PART >= max(parts)
    assert len(parts) > 1 and sum(parts) >= whole - len(parts)
    assert past[0] == 0 < past[1]
