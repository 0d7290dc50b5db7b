"""Sessions that are far ahead rest while listeners would wait, on a simulated clock."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sled import TTS, DecodingOptions, Session, SessionOptions
from sled.streaming import lead
from sled.streaming.lead import MAX_REST_S, LeadPolicy, ListenerClock
from tests.debug import STREAM, debug_codec, debug_model, debug_tokenizer

RATE, FRAME_S = 100, 0.05
TEXT = "four two seven one nine"


@dataclass(eq=False)
class Speaker:
    """A session whose listener takes all audio at once, and plays it from the first piece on."""

    joins_s: float
    max_lead_s: float | None
    made_s: float = 0.0
    clock: ListenerClock = field(default_factory=lambda: ListenerClock(RATE))
    waited_s: float = 0.0
    stepped_s: float = 0.0
    longest_rest_s: float = 0.0

    def lead(self, now_s: float) -> float:
        lead = self.made_s - self.clock.played_s(now_s)
        return math.inf if self.max_lead_s is None or lead > self.max_lead_s else lead


def simulate(
    speakers: list[Speaker], step_s: float, row_s: float, seconds: float, *, rest: bool = True
) -> None:
    """Let an engine decode for some time; a step takes `step_s`, and `row_s` for each session."""
    now_s = 0.0
    policy: LeadPolicy[Speaker] = LeadPolicy()
    resting: set[Speaker] = set()
    while now_s < seconds:
        here = [one for one in speakers if one.joins_s <= now_s]
        if rest and policy.is_due(now_s):
            resting = policy.decide({one: one.lead(now_s) for one in here}, now_s)
        steps = [one for one in here if one not in resting]
        assert steps or not here
        before_s, now_s = now_s, now_s + step_s + row_s * len(steps)
        for one in here:
            played_s = one.clock.played_s(before_s)
            wanted_s = now_s - before_s if one.made_s else 0.0
            one.waited_s += wanted_s - (one.clock.played_s(now_s) - played_s)
        for one in steps:
            one.made_s += FRAME_S
            one.clock.take(round(FRAME_S * RATE), now_s)
            one.longest_rest_s = max(one.longest_rest_s, now_s - max(one.stepped_s, one.joins_s))
            one.stepped_s = now_s


@given(
    num_live=st.integers(1, 6),
    joins=st.lists(st.floats(0, 5), min_size=6, max_size=6),
    num_downloads=st.integers(1, 8),
    load=st.floats(0.1, 0.8),
    share=st.floats(0.0, 0.9),
)
@settings(max_examples=10, deadline=None)
def test_listeners_never_wait_if_the_engine_could_serve_them_alone(
    num_live, joins, num_downloads, load, share
):
    """And whoever nobody listens to goes on: in the time that is left, and a little in any case."""
    budget_s = load * FRAME_S  # of a step of the live ones alone
    row_s = share * budget_s / num_live
    live = [Speaker(joins_s, 5.0) for joins_s in joins[:num_live]]
    downloads = [Speaker(0.0, None) for _ in range(num_downloads)]
    simulate([*live, *downloads], budget_s - row_s * num_live, row_s, 20.0)
    for one in live:
        assert one.waited_s == pytest.approx(0.0, abs=1e-6)
        assert one.made_s > 20.0 - one.joins_s - 1.0
    for one in downloads:
        assert one.longest_rest_s < MAX_REST_S + 0.2
        assert one.made_s > 0.5


def test_a_download_gets_all_time_that_is_left():
    """The live session alone takes half of the time, and rests when it is far enough ahead."""
    live, download = Speaker(0.0, 2.0), Speaker(0.0, None)
    simulate([live, download], 0.005, 0.02, 60.0)
    assert live.waited_s == pytest.approx(0.0, abs=1e-6)
    assert download.made_s > 0.9 * 60.0 / 0.045 * FRAME_S / 2


def test_without_rest_a_download_would_make_a_listener_wait():
    speakers = [Speaker(0.0, 5.0), *(Speaker(0.0, None) for _ in range(3))]
    simulate(speakers, 0.005, 0.02, 20.0, rest=False)
    assert speakers[0].waited_s > 5.0


def test_nobody_rests_for_those_to_whom_nobody_listens():
    policy: LeadPolicy[str] = LeadPolicy()
    assert policy.decide({"a": math.inf, "b": math.inf}, 0.0) == set()
    assert policy.decide({"a": 0.2, "b": math.inf, "c": 3.0}, 1.0) == {"b"}
    assert policy.anybody_rests
    assert policy.decide({"a": 0.8, "b": math.inf}, 1.1) == {"b"}  # still short of enough
    assert policy.decide({"a": 1.1, "b": math.inf}, 1.2) == set()
    assert policy.decide({"a": 0.8, "b": math.inf}, 1.3) == set()  # not short yet


def test_a_listener_plays_what_was_taken_without_a_break():
    clock = ListenerClock(RATE)
    assert clock.played_s(5.0) == 0.0
    clock.take(100, 5.0)
    assert clock.played_s(5.4) == pytest.approx(0.4)
    clock.take(50, 5.5)
    assert clock.played_s(6.4) == pytest.approx(1.4)
    assert clock.played_s(9.0) == pytest.approx(1.5)
    clock.take(100, 9.0)  # he has waited since 6.5
    assert clock.played_s(9.25) == pytest.approx(1.75)


# In an engine.


def noting(tts: TTS, name: str, order: list[str], text: str = TEXT, **options: object) -> Session:
    """A session of 40 frames that notes each of them."""
    decoding = DecodingOptions(stop_threshold=2.0, max_frames=40)
    settings = SessionOptions(decoding=decoding, max_start_delay_s=0.0, **options)
    session = Session(tts.engine, tts.tokenizer, settings, lambda: order.append(name))
    session.feed(text)
    return session


@pytest.fixture
def always_short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHORT_S", "ENOUGH_S", "MAX_REST_S"):
        monkeypatch.setattr(lead, name, 1e9)
    monkeypatch.setattr(lead, "DECIDE_EVERY_S", 0.0)


@pytest.mark.usefixtures("always_short")
def test_a_download_rests_and_says_the_same():
    tts = TTS(debug_model(**STREAM), debug_tokenizer(), debug_codec())
    order: list[str] = []
    with noting(tts, "alone", order, max_lead_s=None) as alone:
        alone.flush()
        expected = np.concatenate(list(alone))
    order.clear()
    with noting(tts, "live", order) as live, noting(tts, "file", order, max_lead_s=None) as file:
        file.flush()
        live.flush()
        assert len(np.concatenate(list(live))) == len(expected)
        np.testing.assert_allclose(np.concatenate(list(file)), expected, atol=1e-5)
    assert order.count("file") == order.count("live") == 40
    begun = order.index("live")
    assert "file" not in order[begun + 1 : order.index("live", begun + 30)]


@pytest.mark.usefixtures("always_short")
def test_nobody_rests_for_a_session_that_waits_for_text():
    tts = TTS(debug_model(**STREAM), debug_tokenizer(), debug_codec())
    order: list[str] = []
    with (
        noting(tts, "live", order, "four ") as live,
        noting(tts, "file", order, max_lead_s=None) as file,
    ):
        file.flush()
        list(file)  # ends, though the text of the other one is late
        assert order.count("live") < 40
        live.feed("two seven one nine")
        live.flush()
        list(live)
        assert order.count("live") == 40
