"""When characters are said: every character of the text, at a time of the audio that is sent."""

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sled.serving.elevenlabs.alignment import Aligner, Alignment
from sled.serving.service import SpeechRequest, SpeechService
from sled.streaming.marks import Mark
from sled.tts import TTS
from tests.serving.conftest import Running, start, stop
from tests.serving.elevenlabs.test_connection import END, Caller, call

TEXT = "four, two (seven) one."


class Fake:
    """Stands for an utterance whose words have been said."""

    has_marks = True

    def __init__(self, text: str, marks: list[Mark]) -> None:
        self.text, self.marks = text, marks

    def take_marks(self, kind: str) -> list[Mark]:
        assert kind == "character"
        marks, self.marks = self.marks, []
        return marks


def marks_of(text: str, *spans: tuple[int, int, float, float]) -> list[Mark]:
    return [Mark(text[a:b], start, end, a, b) for a, b, start, end in spans]


def as_table(alignment: Alignment | None) -> list[tuple[str, int, int]]:
    assert alignment is not None
    return list(zip(alignment.characters, alignment.starts_ms, alignment.ends_ms, strict=True))


@pytest.mark.parametrize(
    ("text", "spans", "speed", "table"),
    [
        # A word, and the mark and the space behind it.
        (
            "Go, ",
            [(0, 1, 0.1, 0.2), (1, 2, 0.2, 0.4)],
            1.0,
            [("G", 100, 200), ("o", 200, 400), (",", 400, 400), (" ", 400, 400)],
        ),
        # What comes before a word takes the time up to it.
        (
            "a (b",
            [(0, 1, 0.0, 0.1), (3, 4, 0.3, 0.4)],
            1.0,
            [("a", 0, 100), (" ", 100, 200), ("(", 200, 300), ("b", 300, 400)],
        ),
        # Characters that are said as one have equal parts of its time.
        ("$5", [(0, 2, 0.0, 0.5)], 1.0, [("$", 0, 250), ("5", 250, 500)]),
        # Faster audio is shorter.
        ("a", [(0, 1, 0.2, 0.4)], 2.0, [("a", 100, 200)]),
        # The halves of a surrogate pair are one character.
        ("\ud83d\ude00a", [(1, 2, 0.1, 0.2)], 1.0, [("\U0001f600", 0, 100), ("a", 100, 200)]),
    ],
)
def test_right_times(
    text: str,
    spans: list[tuple[int, int, float, float]],
    speed: float,
    table: list[tuple[str, int, int]],
) -> None:
    aligner = Aligner(Fake(text, marks_of(text, *spans)), speed)  # type: ignore[arg-type]
    assert as_table(aligner.take()) == table


def test_nothing_is_told_before_a_word_has_ended_and_the_rest_at_the_end() -> None:
    utterance = Fake("one.", [])
    aligner = Aligner(utterance)  # type: ignore[arg-type]
    assert aligner.take() is None
    utterance.marks = marks_of("one.", (0, 3, 0.1, 0.4))
    assert as_table(aligner.take())[0] == ("o", 100, 200)
    assert as_table(aligner.take(ended=True)) == [(".", 400, 400)]
    assert aligner.take(ended=True) is None


# With a model that tells when its words are said.


@pytest.fixture(scope="module")
def told() -> Iterator[Running]:
    running = start(tts=TTS.from_pretrained("digits"), name="digits")
    yield running
    stop(running)


async def messages_of(running: Running, *pieces: str, **query: object) -> list[dict[str, Any]]:
    async with call(running, voice="digits", **query) as caller:
        assert isinstance(caller, Caller)
        await caller.send(*({"text": piece} for piece in pieces if piece), END)
        return await caller.rest()


def words_of(running: Running) -> list[tuple[str, int]]:
    """The words and when they begin, in ms, as a session tells."""
    tts = running.server.service.tts
    with tts.open_session(seed=3, decoding=tts.default_options, max_start_delay_s=0.0) as session:
        session.feed(TEXT)
        session.flush()
        for _ in session:
            pass
        return [(mark.text, round(1000 * mark.start_s)) for mark in session.marks("word")]


def beginnings(chars: list[str], starts: list[int]) -> list[tuple[str, int]]:
    """Words of an alignment, and when they begin."""
    words: list[tuple[str, int]] = []
    for before, char, at in zip([" ", *chars], chars, starts, strict=False):
        if char.isalpha() and not before.isalpha():
            words.append((char, at))
        elif char.isalpha():
            words[-1] = (words[-1][0] + char, words[-1][1])
    return words


@given(cuts=st.lists(st.integers(0, len(TEXT)), max_size=4).map(sorted))
@settings(max_examples=3)
def test_times_add_up_however_the_text_is_cut(told: Running, cuts: list[int]) -> None:
    """Those of an alignment count from the end of the one before."""
    pieces = [TEXT[a:b] for a, b in zip([0, *cuts], [*cuts, len(TEXT)], strict=True)]
    messages = asyncio.run(messages_of(told, *pieces))
    chars: list[str] = []
    starts: list[int] = []
    end, audio = 0, 0
    for message in messages:
        alignment = message["alignment"]
        assert message["normalizedAlignment"] == alignment
        audio += len(base64.b64decode(message["audio"] or ""))
        if alignment is None:
            continue
        assert min(alignment["charStartTimesMs"]) >= 0 <= min(alignment["charDurationsMs"])
        chars += alignment["chars"]
        starts += [end + start for start in alignment["charStartTimesMs"]]
        end += alignment["charStartTimesMs"][-1] + alignment["charDurationsMs"][-1]
        assert end <= audio / 48 + 1  # nothing is told before it is heard
    assert "".join(chars) == TEXT + " "  # ends the last word
    assert starts == sorted(starts)
    said = words_of(told)
    assert [word for word, _ in said] == ["four", "two", "seven", "one"]
    for (word, at), (other, time) in zip(beginnings(chars, starts), said, strict=True):
        assert word == other
        assert abs(at - time) <= 1


def test_times_from_the_beginning_with_every_piece_of_audio(told: Running) -> None:
    messages = asyncio.run(messages_of(told, TEXT, sync_alignment="true"))
    assert all(message["alignment"] is not None for message in messages if message["audio"])
    alignments = [message["alignment"] for message in messages if message["alignment"]]
    chars = [char for alignment in alignments for char in alignment["chars"]]
    starts = [at for alignment in alignments for at in alignment["charStartTimesMs"]]
    assert "".join(chars) == TEXT + " "
    for (word, at), (other, time) in zip(beginnings(chars, starts), words_of(told), strict=True):
        assert (word, abs(at - time) <= 1) == (other, True)


@pytest.mark.parametrize("speed", [1.0, 1.25])
def test_times_over_http(told: Running, speed: float) -> None:
    body = {"text": TEXT, "seed": 3, "voice_settings": {"speed": speed}}
    url = f"{told.url}/v1/text-to-speech/digits"
    params = {"output_format": "pcm_24000"}
    whole = httpx.post(f"{url}/with-timestamps", json=body, params=params, timeout=60).json()
    lines = httpx.post(f"{url}/stream/with-timestamps", json=body, params=params, timeout=60)
    parts = [json.loads(line) for line in lines.text.splitlines()]
    assert len(parts) > 1
    audio = b"".join(base64.b64decode(part["audio_base64"]) for part in parts)
    heard, expected = (
        np.frombuffer(data, "<i2").astype(int)
        for data in (audio, base64.b64decode(whole["audio_base64"]))
    )
    np.testing.assert_allclose(heard, expected, atol=2)  # pieces are decoded as time allows
    for key, values in whole["alignment"].items():
        joined = [one for part in parts if part["alignment"] for one in part["alignment"][key]]
        assert joined == values
    chars = whole["alignment"]["characters"]
    starts = [round(1000 * at) for at in whole["alignment"]["character_start_times_seconds"]]
    assert "".join(chars) == TEXT
    for (word, at), (other, time) in zip(beginnings(chars, starts), words_of(told), strict=True):
        assert (word, abs(at - time / speed) <= 1) == (other, True)


def test_speech_that_is_sent_as_a_whole_lets_listeners_go_first(
    told: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_utterance = SpeechService.open
    live: list[bool] = []

    def note(self: SpeechService, request: SpeechRequest) -> Any:
        live.append(request.live)
        return open_utterance(self, request)

    monkeypatch.setattr(SpeechService, "open", note)
    for path in ("", "/stream", "/stream/with-timestamps", "/with-timestamps"):
        url = f"{told.url}/v1/text-to-speech/digits{path}"
        assert httpx.post(url, json={"text": "four"}, timeout=60).status_code == 200
    assert live == [True, True, True, False]


@pytest.mark.parametrize("path", ["/with-timestamps", "/stream/with-timestamps"])
def test_who_leaves_frees_the_slot(told: Running, path: str) -> None:
    url = f"{told.url}/v1/text-to-speech/digits{path}"
    with (
        pytest.raises(httpx.TimeoutException),
        httpx.stream("POST", url, json={"text": TEXT * 100}, timeout=0.5) as answer,
    ):
        next(answer.iter_raw())
        raise httpx.ReadTimeout("enough")
    told.wait_until(lambda: told.server.active == 0)
