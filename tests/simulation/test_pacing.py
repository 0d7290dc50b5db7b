"""Release of text at typing speed."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.simulation.pacing import release, schedule, token_texts
from tests.debug import debug_tokenizer


class FakeTime:
    """A clock that advances only by `sleep`."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@given(text=st.text() | st.lists(st.sampled_from("é今👩\ufffd \ufffd")).map("".join))
def test_the_texts_of_tokens_are_the_text(text: str) -> None:
    texts = token_texts(debug_tokenizer(), text)
    assert "".join(texts) == text
    assert len(texts) == len(debug_tokenizer().encode(text)) - 2


def test_each_token_has_its_text() -> None:
    assert token_texts(debug_tokenizer(), "four two seven") == ["four", " two", " seven"]
    assert token_texts(debug_tokenizer(), "é!") == ["", "é", "!"]  # two bytes


def test_pieces_come_when_they_are_due() -> None:
    time = FakeTime()
    released = []
    for piece in release(schedule("four", per_second=4), time.clock, time.sleep):
        released.append((time.now, piece))
    assert released == [(100.0, "f"), (100.25, "o"), (100.5, "u"), (100.75, "r")]


def test_who_is_late_catches_up() -> None:
    time = FakeTime()
    pieces = release(schedule(["a", "", "b", "c", "d"], per_second=1), time.clock, time.sleep)
    assert next(pieces) == "a"
    time.now += 3.5
    assert [next(pieces), next(pieces), time.now] == ["b", "c", 103.5]
    assert [next(pieces), time.now] == ["d", 104.0]


def test_an_infinite_rate_waits_for_nothing() -> None:
    time = FakeTime()
    assert "".join(release(schedule("four two", inf), time.clock, time.sleep)) == "four two"
    assert time.now == 100.0


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_impossible_rates_are_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate above 0"):
        schedule("text", rate)
