"""The Wyoming protocol, as Home Assistant speaks it with the package `wyoming`."""

import asyncio
import json
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress

import httpx
import numpy as np
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)
from zeroconf.asyncio import AsyncZeroconf

from sled.serving.app import make_app
from sled.serving.listening import Listener
from sled.serving.server import Server
from sled.serving.service import SpeechService
from sled.serving.settings import load_settings
from sled.serving.wyoming.announcement import SERVICE, Announcement
from sled.serving.wyoming.events import MAX_EVENT_BYTES
from tests.serving.conftest import NAME, Running, start, stop, tiny_tts

TEXT = "four two seven one"


class ErrorHandler(logging.Handler):
    """Collects errors that are logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture(scope="module")
def home() -> Iterator[Running]:
    """A server; its log has no error at the end."""
    running, errors = start(wyoming_port=0), ErrorHandler()
    logging.getLogger().addHandler(errors)
    yield running
    stop(running)
    logging.getLogger().removeHandler(errors)
    assert errors.messages == []


def port_of(running: Running) -> int:
    assert running.listener.wyoming is not None
    return running.listener.wyoming.address[1]


@asynccontextmanager
async def connect(running: Running) -> AsyncIterator[AsyncTcpClient]:
    async with AsyncTcpClient("127.0.0.1", port_of(running), read_timeout=60) as client:
        yield client


async def events_until(client: AsyncTcpClient, *kinds: str) -> list[Event]:
    """Events up to one of these kinds, or to the end of the connection."""
    events: list[Event] = []
    while not events or events[-1].type not in kinds:
        event = await client.read_event()
        if event is None:
            break
        events.append(event)
    return events


def samples(events: list[Event]) -> np.ndarray:
    chunks = [AudioChunk.from_event(one) for one in events if AudioChunk.is_type(one.type)]
    assert all((one.rate, one.width, one.channels) == (24_000, 2, 1) for one in chunks)
    return np.frombuffer(b"".join(one.audio for one in chunks), "<i2").astype(int)


async def hear(running: Running, *orders: Event, last: str = "audio-stop") -> list[Event]:
    async with connect(running) as client:
        for order in orders:
            await client.write_event(order)
        return await events_until(client, last)


def plain(text: str = TEXT, voice: str | None = None) -> Event:
    return Synthesize(text, None if voice is None else SynthesizeVoice(voice)).event()


def stream(*pieces: str, voice: str | None = None) -> list[Event]:
    """What Home Assistant sends, with the copy of the whole text for old servers."""
    return [
        SynthesizeStart(None if voice is None else SynthesizeVoice(voice)).event(),
        *(SynthesizeChunk(piece).event() for piece in pieces),
        plain("".join(pieces), voice),
        SynthesizeStop().event(),
    ]


@pytest.fixture(scope="module")
def spoken(home: Running) -> np.ndarray:
    """The samples that the server sends over HTTP with the same seed."""
    body = {"input": TEXT, "response_format": "pcm", "seed": 0}
    answer = httpx.post(f"{home.url}/v1/audio/speech", json=body, timeout=60)
    return np.frombuffer(answer.content, "<i2").astype(int)


# Speech.


def test_a_whole_text(home: Running, spoken: np.ndarray) -> None:
    events = asyncio.run(hear(home, plain()))
    assert AudioStart.from_event(events[0]) == AudioStart(24_000, 2, 1, timestamp=0)
    assert AudioStop.is_type(events[-1].type)
    np.testing.assert_allclose(samples(events), spoken, atol=1)
    place = 0
    for event in events[1:-1]:
        chunk = AudioChunk.from_event(event)
        assert chunk.timestamp == round(place / 24)
        place += chunk.samples


@given(cuts=st.lists(st.integers(0, len(TEXT)), max_size=6).map(sorted))
@settings(max_examples=5)
def test_a_text_in_pieces_sounds_like_the_whole(
    home: Running, spoken: np.ndarray, cuts: list[int]
) -> None:
    pieces = [TEXT[a:b] for a, b in zip([0, *cuts], [*cuts, len(TEXT)], strict=True)]
    events = asyncio.run(hear(home, *stream(*pieces, voice=NAME), last="synthesize-stopped"))
    kinds = [event.type for event in events]
    assert kinds[0] == "audio-start"
    assert kinds[-2:] == ["audio-stop", "synthesize-stopped"]
    assert set(kinds[1:-2]) == {"audio-chunk"}
    np.testing.assert_allclose(samples(events), spoken, atol=1)


def test_audio_comes_before_the_text_is_complete(home: Running) -> None:
    async def run() -> None:
        async with connect(home) as client:
            for event in stream("four two seven one nine four two seven one nine ")[:2]:
                await client.write_event(event)
            assert len(samples(await events_until(client, "audio-chunk"))) > 0

    asyncio.run(run())
    home.wait_until(lambda: home.server.active == 0)


def test_company_does_not_change_samples(home: Running, spoken: np.ndarray) -> None:
    async def run() -> list[list[Event]]:
        orders = [hear(home, plain()), hear(home, *stream(TEXT), last="synthesize-stopped")]
        return await asyncio.gather(*orders)

    for events in asyncio.run(run()):
        np.testing.assert_allclose(samples(events), spoken, atol=1)


def test_texts_of_a_connection_are_said_one_after_the_other(
    home: Running, spoken: np.ndarray
) -> None:
    async def run() -> list[list[Event]]:
        async with connect(home) as client:
            for event in (plain(), *stream(TEXT), plain()):
                await client.write_event(event)
            return [await events_until(client, "audio-stop") for _ in range(3)]

    for events in asyncio.run(run()):
        np.testing.assert_allclose(samples(events), spoken, atol=1)


@pytest.mark.parametrize("text", ["", " \n"])
def test_a_blank_text_is_silence(home: Running, text: str) -> None:
    """A chat model may answer with nothing; that is no failure."""
    events = asyncio.run(hear(home, *stream(text), last="synthesize-stopped"))
    assert [one.type for one in events] == ["audio-start", "audio-stop", "synthesize-stopped"]


# What the server is.


async def describe(port: int) -> Info:
    async with AsyncTcpClient("127.0.0.1", port, read_timeout=1) as client:
        await client.write_event(Describe().event())
        event = await client.read_event()
        assert event is not None
        return Info.from_event(event)


def test_the_description(home: Running) -> None:
    (program,) = asyncio.run(describe(port_of(home))).tts
    assert program.installed and program.supports_synthesize_streaming
    (voice,) = program.voices
    assert (voice.name, voice.installed, voice.languages) == (NAME, True, ["en"])


def test_the_description_comes_while_the_model_is_being_loaded() -> None:
    flags = load_settings(port=0, wyoming_port=0)
    may_load = threading.Event()

    def load() -> SpeechService:
        may_load.wait(60)
        return SpeechService(tiny_tts(), NAME, flags)

    server = Server(flags, load, "four two", NAME)
    listener = Listener(uvicorn.Config(make_app(server), port=0, log_level="error"), server)
    thread = threading.Thread(target=listener.run, daemon=True)
    thread.start()
    running = Running("", server, listener, thread)
    running.wait_until(lambda: listener.started)
    (program,) = asyncio.run(describe(port_of(running))).tts
    assert [voice.name for voice in program.voices] == [NAME]
    refused = asyncio.run(hear(running, plain()))
    assert [Error.from_event(one).code for one in refused] == ["starting"]
    may_load.set()
    running.wait_until(lambda: server.ready)
    assert asyncio.run(hear(running, plain()))
    stop(running)


def test_other_events_are_ignored_and_pings_answered(home: Running) -> None:
    async def run() -> None:
        async with connect(home) as client:
            for event in (
                Event("transcribe", {"language": "en"}),
                Event("audio-chunk", {"rate": 8000}, payload=bytes(100_000)),
                SynthesizeChunk("without a start").event(),
                SynthesizeStop().event(),
                Ping("here").event(),
            ):
                await client.write_event(event)
            event = await client.read_event()
            assert event is not None and Pong.from_event(event).text == "here"

    asyncio.run(run())


# What goes wrong.


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (plain(voice="nobody"), "voice_not_found"),
        (plain("a" * 50_001), "text_too_long"),
        (Event("synthesize", {"text": 7}), "invalid_value"),
        (Event("synthesize", {}), "invalid_value"),
        (Event("synthesize", {"text": "one", "voice": {"name": ["a"]}}), "invalid_value"),
    ],
)
def test_an_error_is_told_and_ends_the_connection(home: Running, event: Event, code: str) -> None:
    (error,) = asyncio.run(hear(home, event))
    assert Error.from_event(error).code == code


def test_too_many_callers_are_refused(serve: Callable[..., Running]) -> None:
    running = serve(wyoming_port=0, max_sessions=1, queue_s=0)

    async def run() -> None:
        async with connect(running) as first:
            await first.write_event(plain(TEXT * 50))
            await events_until(first, "audio-chunk")
            (refused,) = await hear(running, plain())
            assert Error.from_event(refused).code == "at_capacity"

    asyncio.run(run())
    running.wait_until(lambda: running.server.active == 0)


MALFORMED = [
    b"\n",
    b"{\n",
    b"[]\n",
    b'"describe"\n',
    b"\xff\xfe\n",
    b'{"type": 5}\n',
    b'{"data": {}}\n',
    b'{"type": "describe", "data": 3}\n',
    b'{"type": "describe", "data_length": "many"}\n',
    b'{"type": "describe", "data_length": -1}\n',
    b'{"type": "describe", "data_length": 1e3}\n',
    b'{"type": "describe", "data_length": 99999999999}\n',
    b'{"type": "describe", "payload_length": 99999999999}\n',
    b'{"type": "describe", "data_length": 4}\nnull',
    b'{"type": "describe", "data_length": 9}\n{"a": ',
    b'{"type": "desc',
    b"[" * 100_000 + b"\n",
    b"x" * (MAX_EVENT_BYTES + 2),
]


@pytest.mark.parametrize("data", MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_no_event_ends_that_connection_alone(
    home: Running, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with connect(home) as other:
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(home))
            writer.write(data)
            if not data.endswith(b"\n"):
                writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 60) == b""
            writer.close()
            await other.write_event(Ping("here").event())
            assert await other.read_event() is not None

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    (record,) = caplog.records
    assert "\n" not in record.getMessage() and record.exc_info is None


@pytest.mark.parametrize("order", [[plain(TEXT * 100)], stream(TEXT * 100)[:2]])
def test_who_hangs_up_frees_the_slot(home: Running, order: list[Event]) -> None:
    async def run() -> None:
        async with connect(home) as client:
            for event in order:
                await client.write_event(event)
            await events_until(client, "audio-chunk")

    asyncio.run(run())
    home.wait_until(lambda: home.server.active == 0)


def test_who_takes_nothing_is_cut_off(
    serve: Callable[..., Running], caplog: pytest.LogCaptureFixture
) -> None:
    running = serve(wyoming_port=0, stall_s=0.3)

    async def run() -> None:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port_of(running)))
        _, writer = await asyncio.open_connection(sock=client, limit=1024)
        writer.write(raw(plain(TEXT * 200)))
        await asyncio.to_thread(running.wait_until, lambda: running.server.active > 0)
        await asyncio.to_thread(running.wait_until, lambda: running.server.active == 0)
        writer.close()

    asyncio.run(run())
    assert any("took nothing" in record.getMessage() for record in caplog.records)


def test_text_that_stops_coming_is_taken_as_complete_and_silence_ends_the_connection(
    serve: Callable[..., Running],
) -> None:
    running = serve(wyoming_port=0, text_timeout_s=0.2, idle_s=0.3)
    events = asyncio.run(hear(running, *stream(TEXT)[:2], last="nothing"))
    assert [one.type for one in events][-2:] == ["audio-stop", "synthesize-stopped"]
    assert SynthesizeStopped.is_type(events[-1].type)


def test_a_stopping_server_lets_an_utterance_end(serve: Callable[..., Running]) -> None:
    running = serve(wyoming_port=0)

    async def run() -> None:
        async with connect(running) as client:
            for event in stream(TEXT * 3)[:2]:
                await client.write_event(event)
            await events_until(client, "audio-chunk")
            running.listener.handle_exit(15, None)
            (refused,) = await hear(running, plain())
            assert Error.from_event(refused).code == "draining"
            await client.write_event(SynthesizeStop().event())
            events = await events_until(client, "synthesize-stopped")
            assert SynthesizeStopped.is_type(events[-1].type)

    asyncio.run(run())
    running.thread.join(timeout=60)
    assert not running.thread.is_alive()


def raw(event: Event) -> bytes:
    return json.dumps({"type": event.type, "data": event.data}).encode() + b"\n"


EVENTS = st.sampled_from(
    [
        raw(Describe().event()),
        raw(plain()),
        raw(plain("", NAME)),
        *map(raw, stream("four", " two", "\ud83d", "\ude00", "")),
        raw(Event("synthesize-start", {"voice": 3})),
        raw(Event("synthesize-start", {"voice": {"language": "de"}})),
        raw(Event("synthesize-chunk", {"text": None})),
        b'{"type": "synthesize-chunk", "data_length": 15, "payload_length": 2}\n{"text": "one"}:)',
        raw(Event("", {})),
        raw(Ping("\ud83d").event()),
    ]
)


@given(events=st.lists(EVENTS | st.sampled_from(MALFORMED), max_size=8), abort=st.booleans())
@settings(max_examples=25)
def test_any_order_of_events_never_breaks_the_server(
    home: Running, events: list[bytes], abort: bool
) -> None:
    async def run() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(home))
        with suppress(OSError):  # it is cut off
            for event in events:
                writer.write(event)
                await writer.drain()
            if abort:
                writer.transport.abort()
            else:
                writer.write_eof()
                await asyncio.wait_for(reader.read(), 60)
        writer.close()
        assert (await describe(port_of(home))).tts

    asyncio.run(run())
    home.wait_until(lambda: home.server.active == 0)
    assert home.server.healthy


# Its settings.


def test_the_server_is_found_in_the_network() -> None:
    async def run() -> None:
        announcement = Announcement("127.0.0.1", 10200)
        announcement.start()
        async with AsyncZeroconf(interfaces=["127.0.0.1"]) as network:
            found = await network.async_get_service_info(SERVICE, announcement.name, 30_000)
        await announcement.stop()
        assert found is not None
        assert (found.port, found.parsed_addresses()) == (10200, ["127.0.0.1"])

    asyncio.run(run())


def test_a_host_with_a_long_name_is_announced_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "pod-" + "a" * 59)

    async def run() -> None:
        announcement = Announcement("127.0.0.1", 10200)
        announcement.start()
        await asyncio.sleep(0.1)
        await announcement.stop()

    asyncio.run(run())
    assert "not announced" not in caplog.text


def test_a_port_that_is_taken_is_an_error(home: Running) -> None:
    flags = load_settings(port=0, wyoming_port=port_of(home))
    server = Server(flags, lambda: SpeechService(tiny_tts(), NAME, flags), "", NAME)
    with pytest.raises(ValueError, match="--wyoming_port"):
        Listener(uvicorn.Config(make_app(server)), server)


def test_a_port_without_keys_is_not_opened_to_others_by_accident() -> None:
    flags = {"host": "0.0.0.0", "keys": ["secret"], "wyoming_port": 0}
    with pytest.raises(ValueError, match="Wyoming protocol has no keys"):
        load_settings(**flags)
    assert load_settings(**flags, insecure=True).wyoming_port == 0
    assert json.loads(load_settings(**flags | {"wyoming_port": None}).model_dump_json())
