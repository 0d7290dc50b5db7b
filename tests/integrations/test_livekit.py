"""The voice for LiveKit Agents, with the real framework."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("livekit.agents")

import aiohttp
from livekit.agents import (
    APIConnectionError,
    APIConnectOptions,
    APIError,
    APIStatusError,
    APITimeoutError,
)
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT

from sled.integrations.livekit import TTS
from tests.integrations.conftest import num_speaking
from tests.integrations.fake_server import FakeServer, text_of, until
from tests.serving.conftest import Running

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
    assert [one.get("speed") for one in server.said("session.config")] == [None, 1.5]


def test_an_interruption_ends_the_connection_and_so_the_speech() -> None:
    async def main(server: FakeServer) -> None:
        async with voice(server.url) as tts:
            stream = tts.stream(conn_options=ONCE)
            stream.push_text("one two ")
            await asyncio.wait_for(anext(stream), 20)
            await stream.aclose()
            await until(lambda: server.num_open == 0, 2.0)  # at once, not with the next reply
            assert (await speak(tts, "three"))[0] == "three"
            assert server.connections == 2

    with FakeServer() as server:
        asyncio.run(main(server))
    assert not server.said("response.cancel")


def test_an_interruption_stops_a_real_server(marked: Running) -> None:
    async def main() -> None:
        async with voice(marked.url) as tts:
            stream = tts.stream(conn_options=ONCE)
            stream.push_text("four two seven one nine " * 100)
            await asyncio.wait_for(anext(stream), 60)
            assert num_speaking(marked) == 1
            await stream.aclose()
            await until(lambda: num_speaking(marked) == 0, 5.0)

    asyncio.run(main())


def test_a_model_without_word_times() -> None:
    async def main(url: str) -> None:
        async with voice(url) as tts:
            assert await speak(tts, "one two") == ("one two", [])
            assert not tts.capabilities.aligned_transcript
            assert (await speak(tts, "three"))[0] == "three"

    with FakeServer(marks=False) as server:
        asyncio.run(main(server.url))
    assert [one["marks"] for one in server.said("session.config")] == ["word", "none"]


def test_no_text_is_no_speech() -> None:
    async def main(url: str) -> None:
        async with voice(url) as tts:
            assert await speak(tts) == ("", [])

    with FakeServer() as server:
        asyncio.run(main(server.url))
    assert not server.told


@pytest.mark.parametrize("tokens", [(" ",), ("\n", "  ", "\t")])
def test_a_reply_of_spaces_is_silence(tokens: tuple[str, ...]) -> None:
    async def main(url: str) -> None:
        async with voice(url) as tts:
            assert await speak(tts, *tokens) == ("", [])
            assert (await speak(tts, "one"))[0] == "one"

    with FakeServer() as server:
        asyncio.run(main(server.url))
    assert [one["text"] for one in server.said("input.text")] == ["one"]


def test_spaces_in_front_come_with_the_first_word() -> None:
    async def main(url: str) -> None:
        async with voice(url) as tts:
            heard, words = await speak(tts, "\n", " ", "one ", "two")
            assert heard == "\n one two"
            assert [one for one, _ in words] == ["\n one", " two"]

    with FakeServer() as server:
        asyncio.run(main(server.url))
    assert [one["text"] for one in server.said("input.text")] == ["\n one ", "two"]


def test_a_flush_ends_the_text() -> None:
    async def main(url: str) -> None:
        async with voice(url) as tts, tts.stream(conn_options=ONCE) as stream:
            stream.flush()  # in front of the text it means nothing
            stream.push_text("one")
            stream.flush()
            frames = [event.frame.data.tobytes() async for event in stream]
            assert text_of(b"".join(frames), RATE) == "one"

    with FakeServer() as server:
        asyncio.run(asyncio.wait_for(main(server.url), 20))


def test_a_connection_that_is_opened_early_has_its_settings() -> None:
    """The server closes one that sends none for ten seconds."""

    async def main(server: FakeServer) -> None:
        async with voice(server.url, voice="anna") as tts:
            tts.prewarm()
            await until(lambda: bool(server.said("session.config")))
            assert (await speak(tts, "one"))[0] == "one"

    with FakeServer() as server:
        asyncio.run(main(server))
    assert server.connections == 1
    assert [one["voice"] for one in server.said("session.config")] == ["anna"]


def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    async def main(server: FakeServer) -> None:
        async with voice(server.url) as tts:
            await speak(tts, "one")
            server.hang_up()
            frame = await tts.synthesize("two").collect()
            assert text_of(frame.data.tobytes(), RATE) == "two"

    with FakeServer() as server:
        asyncio.run(main(server))
    assert server.connections == 2


def test_a_server_that_does_not_answer_is_an_error() -> None:
    async def main(server: FakeServer) -> None:
        soon = APIConnectOptions(max_retry=0, timeout=0.5)
        async with voice(server.url) as tts:
            with pytest.raises(APITimeoutError):
                await tts.synthesize("one", conn_options=soon).collect()
            server.deaf = False
            await speak(tts, "two")
            server.deaf = True
            with pytest.raises(APITimeoutError):
                await tts.synthesize("three", conn_options=soon).collect()

    with FakeServer(deaf=True) as server:
        asyncio.run(asyncio.wait_for(main(server), 20))


def test_a_language_model_may_pause_for_longer_than_the_timeout() -> None:
    async def main(url: str) -> None:
        soon = APIConnectOptions(max_retry=0, timeout=0.2)
        async with voice(url) as tts, tts.stream(conn_options=soon) as stream:
            stream.push_text("one ")
            await asyncio.sleep(0.7)
            stream.push_text("two")
            stream.end_input()
            frames = [event.frame.data.tobytes() async for event in stream]
            assert text_of(b"".join(frames), RATE) == "one two"

    with FakeServer() as server:
        asyncio.run(main(server.url))


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_any_sample_rate(rate: int) -> None:
    async def main(url: str) -> None:
        async with voice(url, sample_rate=rate) as tts:
            frame = await tts.synthesize("one two", conn_options=ONCE).collect()
            assert frame.sample_rate == rate
            assert text_of(frame.data.tobytes(), rate) == "one two"

    with FakeServer() as server:
        asyncio.run(main(server.url))


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


def test_a_key_is_shown_and_a_wrong_one_is_not_tried_again() -> None:
    async def main(server: FakeServer) -> None:
        async with voice(server.url, api_key="right") as tts:
            assert (await speak(tts, "one"))[0] == "one"
        async with voice(server.url, api_key="wrong") as tts:
            with pytest.raises(APIStatusError) as raised:
                await tts.synthesize("one").collect()
        assert (raised.value.status_code, raised.value.retryable) == (401, False)

    with FakeServer(key="right") as server:
        asyncio.run(main(server))
    assert server.connections == 1


def test_without_a_server_the_error_is_a_connection() -> None:
    async def main() -> None:
        async with voice("http://127.0.0.1:9") as tts:
            await speak(tts, "one")

    with pytest.raises(APIConnectionError, match="127.0.0.1:9"):
        asyncio.run(main())
