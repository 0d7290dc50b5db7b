"""Marks over the WebSocket: when the words are said, and which of them were heard."""

import base64
from typing import Any

import pytest

from tests.serving.conftest import Running
from tests.serving.openai.test_speech import TEXT
from tests.serving.websocket.test_connection import CONFIG, DONE, call, kinds, text

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_marks_come_with_the_audio_and_count_from_its_beginning(marked: Running) -> None:
    async with call(marked, marks="word", speed=2.0) as caller:
        await caller.send(text(TEXT), DONE)
        messages, audio = await caller.utterance()
    assert "audio.marks" in kinds(messages)[:-2]
    marks = [mark for one in messages for mark in one.get("marks", [])]
    assert [mark["text"] for mark in marks] == TEXT.split()
    assert all(mark["text"] == TEXT[mark["start_char"] : mark["end_char"]] for mark in marks)
    times = [mark[name] for mark in marks for name in ("start_ms", "end_ms")]
    assert times == sorted(times)
    heard_ms = len(audio) / 2 / 24
    # Speech has a silence at its end, in which nothing is said.
    assert heard_ms / 4 < times[-1] <= heard_ms + 50


async def test_word_timestamps_come_in_one_message_with_the_audio(marked: Running) -> None:
    async with call(marked, word_timestamps=True, marks="character") as caller:
        await caller.send(text(TEXT), DONE)
        messages, audio = await caller.utterance()
    assert audio == b""
    chunks = [message for message in messages if message["type"] == "audio.chunk"]
    assert [chunk["chunk_id"] for chunk in chunks] == list(range(len(chunks)))
    sound = b"".join(base64.b64decode(chunk["audio_b64"]) for chunk in chunks)
    assert len(sound) == messages[-2]["total_bytes"] > 0
    words = [stamp["word"] for chunk in chunks for stamp in chunk["timestamps"]]
    assert words == TEXT.split()
    characters = [mark["text"] for one in messages for mark in one.get("marks", [])]
    assert "".join(characters) == "".join(TEXT.split())


async def test_a_client_that_interrupts_is_told_what_it_has_heard(marked: Running) -> None:
    async with call(marked, marks="word", speed=0.5) as caller:
        await caller.send(text(TEXT * 4))
        marks: list[dict[str, Any]] = []
        while len(marks) < 3:
            one = await caller.take()
            marks += one.get("marks", []) if isinstance(one, dict) else []
        await caller.send({"type": "response.cancel", "played_ms": marks[1]["start_ms"] + 20})
        messages, _ = await caller.utterance()
        done = messages[-2]
        assert done["cancelled"] and done["heard_text"] == " ".join(TEXT.split()[:2])
        for wrong in (-1, "much", True):
            await caller.send({"type": "response.cancel", "played_ms": wrong})
            error = await caller.take()
            assert isinstance(error, dict) and error["param"] == "played_ms"


@pytest.mark.parametrize("field", [{"marks": "word"}, {"word_timestamps": True}])
async def test_a_model_that_cannot_tell_says_so(served: Running, field: dict[str, object]) -> None:
    async with call(served) as caller:
        await caller.send(CONFIG | field)
        error = await caller.take()
        assert isinstance(error, dict)
        assert (error["code"], error["param"]) == ("marks_unsupported", next(iter(field)))
