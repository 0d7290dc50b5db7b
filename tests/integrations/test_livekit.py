"""The voice for LiveKit Agents, with the real framework."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("livekit.agents")

import aiohttp
from livekit.agents import APIConnectionError, APIConnectOptions, APIError, APIStatusError
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT

from sled.integrations.livekit import TTS
from tests.integrations.fake_server import FakeServer, text_of, until

RATE = 24000
ONCE = APIConnectOptions(max_retry=0)


@asynccontextmanager
async def voice(url: str, **options: object) -> AsyncIterator[TTS]:
    async with (
        aiohttp.ClientSession() as session,
        TTS(url=url, http_session=session, **options) as one,
    ):
        yield one


async def speak(tts: TTS, *tokens: str) -> tuple[str, list[tuple[str, float]]]:
    """Say tokens; returns the text of the audio, and words with the times of their starts."""
    audio, words = b"", []
    async with tts.stream(conn_options=ONCE) as stream:
        for token in tokens:
            stream.push_text(token)
        stream.end_input()
        async for event in stream:
            audio += event.frame.data.tobytes()
            timed = event.frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])
            words += [(str(one), one.start_time) for one in timed]
    return text_of(audio, RATE), words


def test_tokens_pass_uncut_and_words_are_timed() -> None:
    async def main(url: str) -> None:
        async with voice(url, voice="anna", seed=3) as tts:
            assert tts.capabilities.streaming and tts.capabilities.aligned_transcript
            heard, words = await speak(tts, "Hel", "lo, ", "wor", "ld.")
            assert heard == "Hello, world."
            assert words == [("Hello,", 0.0), (" world.", pytest.approx(0.07))]

    with FakeServer() as server:
        asyncio.run(main(server.url))
    assert [one["text"] for one in server.said("input.text")] == ["Hel", "lo, ", "wor", "ld."]
    (config,) = server.said("session.config")
    assert (config["sample_rate"], config["voice"], config["seed"]) == (RATE, "anna", 3)


def test_audio_comes_before_the_text_is_complete() -> None:
    async def main(url: str) -> None:
        async with voice(url) as tts, tts.stream(conn_options=ONCE) as stream:
            stream.push_text("first second ")
            event = await asyncio.wait_for(anext(stream), 20)
            assert "first".startswith(text_of(event.frame.data.tobytes(), RATE))
            stream.end_input()

    with FakeServer() as server:
        asyncio.run(main(server.url))


def test_whole_texts_and_one_connection_for_one_after_the_other() -> None:
    async def main(url: str) -> None:
        async with voice(url) as tts:
            for text in ("one", "two"):
                frame = await tts.synthesize(text, conn_options=ONCE).collect()
                assert text_of(frame.data.tobytes(), RATE) == text
            tts.update_options(speed=1.5)
            await speak(tts, "three")

    with FakeServer() as server:
        asyncio.run(main(server.url))
    assert server.connections == 1
    assert [one.get("speed") for one in server.said("session.config")] == [None, None, 1.5]


def test_an_interruption_ends_the_connection_and_so_the_speech() -> None:
    async def main(server: FakeServer) -> None:
        async with voice(server.url) as tts:
            stream = tts.stream(conn_options=ONCE)
            stream.push_text("one two ")
            await asyncio.wait_for(anext(stream), 20)
            await stream.aclose()
            assert (await speak(tts, "three"))[0] == "three"
            await until(lambda: server.connections == 2)

    with FakeServer() as server:
        asyncio.run(main(server))
    assert not server.said("response.cancel")


def test_a_model_without_word_times() -> None:
    async def main(url: str) -> None:
        async with voice(url) as tts:
            assert await speak(tts, "one two") == ("one two", [])
            assert not tts.capabilities.aligned_transcript
            assert (await speak(tts, "three"))[0] == "three"

    with FakeServer(marks=False) as server:
        asyncio.run(main(server.url))
    assert [one["marks"] for one in server.said("session.config")] == ["word", "none", "none"]


def test_no_text_is_no_speech() -> None:
    async def main(url: str) -> None:
        async with voice(url) as tts:
            assert await speak(tts) == ("", [])

    with FakeServer() as server:
        asyncio.run(main(server.url))
    assert not server.told


def test_a_full_server_is_asked_again() -> None:
    async def main(server: FakeServer) -> str:
        async with voice(server.url) as tts:
            options = APIConnectOptions(max_retry=3, retry_interval=0.3)
            async with tts.stream(conn_options=options) as stream:
                stream.push_text("one")
                stream.end_input()
                await until(lambda: server.connections == 1)
                server.refuse = False
                frames = [event.frame.data.tobytes() async for event in stream]
        return text_of(b"".join(frames), RATE)

    with FakeServer(refuse=True) as server:
        assert asyncio.run(main(server)) == "one"


@pytest.mark.parametrize(
    ("refuse", "options", "error", "message"),
    [
        (True, {}, APIStatusError, "full"),
        (False, {"voice": "nobody"}, APIError, "no such voice"),
    ],
)
def test_errors_are_those_of_the_framework(refuse, options, error, message) -> None:
    async def main(url: str) -> None:
        async with voice(url, **options) as tts:
            await speak(tts, "one")

    with FakeServer(refuse) as server, pytest.raises(error, match=message) as raised:
        asyncio.run(main(server.url))
    assert raised.value.retryable == refuse


def test_without_a_server_the_error_is_a_connection() -> None:
    async def main() -> None:
        async with voice("http://127.0.0.1:9") as tts:
            await speak(tts, "one")

    with pytest.raises(APIConnectionError, match="127.0.0.1:9"):
        asyncio.run(main())
