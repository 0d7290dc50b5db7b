"""Messages as the frameworks' voices read and write them."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.integrations import wire
from sled.integrations.wire import Created, Done, Failure, SpokenText, Word, Words
from sled.serving.errors import CODES


@pytest.mark.parametrize(
    ("url", "socket"),
    [
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/v1/audio/speech/stream"),
        ("https://voice.example/", "wss://voice.example/v1/audio/speech/stream"),
        ("wss://voice.example/sled", "wss://voice.example/sled/v1/audio/speech/stream"),
    ],
)
def test_the_socket_of_a_server(url: str, socket: str) -> None:
    assert wire.socket_url(url) == socket


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://x"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="give the address of the server"):
        wire.socket_url(url)


def word(text: str, start: int) -> Word:
    return Word(0.0, 0.0, start, start + len(text))


@pytest.mark.parametrize(
    ("text", "words", "parts"),
    [
        ("Hello, world.", ["Hello", "world"], ["Hello,", " world."]),
        ("two  words ", ["two", "words"], ["two", "  words"]),
        ("well-known fact", ["well", "known", "fact"], ["well", "-known", " fact"]),
        ('"Yes!" he said', ["Yes", "he", "said"], ['"Yes!"', " he", " said"]),
    ],
)
def test_words_are_heard_with_their_punctuation(text, words, parts) -> None:
    spoken, place = SpokenText(), 0
    spoken.feed(text)
    for one, part in zip(words, parts, strict=True):
        place = text.index(one, place)
        assert spoken.take(word(one, place)) == part


@given(st.text("ab ,.", max_size=30), st.data())
def test_what_is_heard_is_the_text(text: str, data: st.DataObject) -> None:
    spoken = SpokenText()
    spoken.feed(text)
    ends = data.draw(st.lists(st.integers(0, len(text)), max_size=5).map(sorted))
    parts = [spoken.take(Word(0.0, 0.0, 0, end)) for end in ends]
    assert "".join(parts) + spoken.take_rest() == text


def test_what_was_heard_ends_with_the_last_word_that_had_begun() -> None:
    spoken = SpokenText()
    spoken.feed("One, two three")
    assert spoken.heard(1.0) is None
    spoken.take(Word(0.1, 0.5, 0, 3))
    spoken.take(Word(0.5, 0.9, 5, 8))
    heard = [spoken.heard(played_s) for played_s in (0.0, 0.1, 0.2, 0.5, 0.6, 9.0)]
    assert heard == ["", "", "One,", "One,", "One, two", "One, two"]


def test_answers_of_the_server() -> None:
    assert wire.read_message(b"\0\1") == b"\0\1"
    assert wire.read_message('{"type": "session.created", "sample_rate": 24000}') == Created()
    assert wire.read_message('{"type": "pong"}') is None
    marks = {"text": "a", "start_ms": 80, "end_ms": 410, "start_char": 2, "end_char": 3}
    found = wire.read_message(json.dumps({"type": "audio.marks", "marks": [marks]}))
    assert found == Words((Word(0.08, 0.41, 2, 3),))
    done = wire.read_message('{"type": "audio.done", "cancelled": true, "error": false}')
    assert done == Done(True, False, None)
    failed = wire.read_message('{"type": "error", "code": "a", "message": "b", "fatal": true}')
    assert failed == Failure("a", "b", True)


def test_busy_codes_are_those_of_the_server() -> None:
    known = {code for code, (status, _) in CODES.items() if status in (429, 503)}
    assert known <= {*wire.BUSY, "engine_failed"}


def test_a_real_server_understands_the_messages(served) -> None:
    import websockets

    async def main() -> list[object]:
        events: list[object] = []
        async with websockets.connect(wire.socket_url(served.url), max_size=None) as socket:
            settings = {"seed": 1, "voice": None}
            await socket.send(wire.config_message(16000, settings))
            answer = wire.read_message(await socket.recv())
            if answer != Created():  # the tiny model has no word times
                assert isinstance(answer, Failure) and answer.code == wire.NO_MARKS
                await socket.send(wire.config_message(16000, settings, marks=False))
            await socket.send(wire.text_message("four two "))
            await socket.send(wire.text_message("seven"))
            await socket.send(wire.FINISH)
            while not events or not isinstance(events[-1], Done):
                events.append(wire.read_message(await asyncio.wait_for(socket.recv(), 60)))
            await socket.send(wire.text_message("four two seven " * 50))
            while not isinstance(wire.read_message(await socket.recv()), bytes):
                pass
            await socket.send(wire.cancel_message(0.01))
            while not isinstance(event := wire.read_message(await socket.recv()), Done):
                pass
            events.append(event)
        return events

    *events, cancelled = asyncio.run(main())
    assert events[0] == Created()
    audio = b"".join(one for one in events if isinstance(one, bytes))
    assert len(audio) > 3200
    assert isinstance(cancelled, Done) and cancelled.cancelled and not cancelled.failed
