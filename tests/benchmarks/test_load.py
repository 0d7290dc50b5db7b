"""`sled bench load`: callers, what they hear, and the figures."""

import asyncio
import json
import time
import xml.etree.ElementTree as ET
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.benchmarks.load import measure
from sled.benchmarks.load.caller_runs import Run, run_alone, run_arrivals
from sled.benchmarks.load.clients import Failed, OpenAIClient, SledClient, read_wav
from sled.benchmarks.load.figures import cumulative, goodput, percentiles, summarize
from sled.benchmarks.load.outcome import Alone, Ending, Outcome
from sled.benchmarks.load.own_server import own_server
from sled.benchmarks.load.scripts import (
    WRITERS,
    Script,
    Writer,
    arrivals,
    make_scripts,
    shares,
    split,
)
from sled.benchmarks.load.transport import LightTransport
from sled.benchmarks.picture import distributions
from sled.serving.encoding import wav_header
from tests.commands import run
from tests.serving.conftest import Running, start, stop

FAST = Writer("fast", 50.0, 0.5)
WHOLE = WRITERS[-1]
RATE = 1000
TEXTS = ("four two", "nine seven")


@pytest.fixture
def serve() -> Iterator[Callable[..., Running]]:
    all_running = []

    def begin(**flags: object) -> Running:
        all_running.append(start(**flags))
        return all_running[-1]

    yield begin
    for running in all_running:
        stop(running)


# What callers say.


@given(st.text())
def test_pieces_are_the_text_and_no_longer_than_a_token(text: str) -> None:
    pieces = split(text)
    assert "".join(pieces) == text
    assert all(len(piece.strip()) <= 4 for piece in pieces)


def test_text_is_written_at_the_speed_of_its_writer() -> None:
    script = Script("four two seven", Writer("", 2.0, 1.0), 0)
    assert script.pieces() == [(0.0, "four"), (0.5, " two"), (1.0, " seve"), (1.5, "n")]
    assert Script("four two", WHOLE, 0).pieces() == [(0.0, "four two")]


def test_callers_arrive_as_a_poisson_process() -> None:
    scripts = make_scripts(["a", "b"], WRITERS)
    plan = arrivals(scripts, 50.0, 200.0, np.random.default_rng(0))
    times = np.array([due_s for due_s, _ in plan])
    gaps = np.diff(times)
    assert (gaps >= 0).all() and times[0] >= 0 and times[-1] < 200
    assert len(plan) == pytest.approx(10_000, rel=0.05)
    # An exponential distribution: the deviation is the mean, and a share of 1 / e is longer.
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert (gaps > gaps.mean()).mean() == pytest.approx(np.exp(-1), abs=0.02)
    for writer in WRITERS:
        share = np.mean([script.writer == writer for _, script in plan])
        assert share == pytest.approx(writer.share, abs=0.02)


def test_typists_leave_long_texts_out_and_shares_stay() -> None:
    scripts = make_scripts(["short", "long " * 30], WRITERS)
    assert [len(one.text) for one in scripts if one.writer.name == "typist"] == [5]
    for writer in WRITERS:
        own = [
            share
            for one, share in zip(scripts, shares(scripts), strict=True)
            if one.writer == writer
        ]
        assert sum(own) == pytest.approx(writer.share)


# What they hear.


def outcome(*chunks: tuple[float, float], due_s: float = 0.0, script: Script | None = None):
    """A call whose audio came at these times, each with its duration, in seconds."""
    listed = [(at_s, round(seconds * RATE)) for at_s, seconds in chunks]
    script = script or Script("one", WHOLE, 1)
    return Outcome(script, due_s, Ending.SPOKEN, 9.0, "", RATE, listed)


@pytest.mark.parametrize(
    ("chunks", "stalled_s", "buffer_s"),
    [
        ([(1.0, 0.5), (1.2, 0.5), (1.9, 0.5)], 0.0, 0.0),
        ([(1.0, 0.5), (1.7, 0.5)], 0.2, 0.2),
        ([(1.0, 0.5), (1.7, 0.5), (2.4, 0.5)], 0.4, 0.4),  # late again
        ([(1.0, 0.5), (1.7, 2.0), (2.4, 0.5)], 0.2, 0.2),
    ],
)
def test_waits_of_a_player(chunks, stalled_s, buffer_s) -> None:
    heard = outcome(*chunks)
    assert heard.stalled_s == pytest.approx(stalled_s)
    assert heard.buffer_s == pytest.approx(buffer_s)


@given(
    st.lists(st.tuples(st.floats(0, 2), st.floats(0.01, 2)), min_size=1, max_size=10),
)
def test_a_start_later_by_the_buffer_prevents_all_waits(gaps) -> None:
    times = np.cumsum([gap for gap, _ in gaps])
    heard = outcome(*zip(times, [seconds for _, seconds in gaps], strict=True))
    place_s = heard.first_audio_s + heard.buffer_s
    margins = []
    for at_s, samples in heard.chunks:
        margins.append(place_s - at_s)
        place_s += samples / RATE
    assert min(margins) >= -1e-6
    assert heard.buffer_s == 0 or min(margins) < 1e-6  # no shorter one would


async def in_parts(data: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    places = [0, *sorted(cuts), len(data)]
    for begin, end in zip(places, places[1:], strict=False):
        yield data[begin:end]


async def samples_of(data: bytes, cuts: list[int]) -> tuple[int, int]:
    heard = Outcome(Script("", WHOLE, 0), 0)
    count = sum([samples async for samples in read_wav(in_parts(data, cuts), heard)])
    return count, heard.sample_rate


@given(st.lists(st.integers(0, 244), max_size=8))
def test_a_wav_file_is_read_in_any_pieces(cuts: list[int]) -> None:
    data = wav_header(16000) + bytes(200)
    assert asyncio.run(samples_of(data, cuts)) == (100, 16000)


@pytest.mark.parametrize("data", [b"", b"{}", b"ID3" + bytes(50), b"RIFF" + bytes(5000)])
def test_what_is_no_wav_file_is_a_failure(data: bytes) -> None:
    with pytest.raises(Failed, match="no WAV file"):
        asyncio.run(samples_of(data, []))


# Figures.


def test_percentiles_and_their_histogram() -> None:
    found = percentiles([0.010, 0.020, 0.030, 0.5])
    assert found is not None
    assert found["count"] == sum(found["histogram"].values()) == 4
    assert (found["p50"], found["p100"]) == (pytest.approx(25), pytest.approx(500))
    points = cumulative(found)
    assert points == sorted(points)
    assert points[0][1] == 0 and points[-1][1] == 1
    assert percentiles([]) is None


def test_figures_of_a_run() -> None:
    typed, whole = Script("one", WRITERS[0], 1), Script("one", WHOLE, 1)
    standards = {
        typed: Alone(0.5, (0.1,), 1.0, 2.0, written_s=4.0),
        whole: Alone(0.0, (0.1,), 0.0, 2.0, written_s=0.0),
    }
    calls = [
        outcome((0.2, 1.0), (0.8, 1.0), script=whole),
        outcome((0.3, 1.0), (1.8, 1.0), script=whole),  # waits for 0.5 s
        outcome((0.9, 1.0), (3.1, 1.0), script=typed),  # waits for 1.2 s, 1 s of it for the text
        Outcome(whole, 0.0, Ending.REFUSED, 1.03),
        Outcome(whole, 0.0, Ending.REFUSED, 0.02),
        Outcome(whole, 0.0, Ending.FAILED, 0.0, "broken"),
    ]
    one = Run(4.0, calls, [0.001], 0.5)
    found = summarize([one], standards, queue_s=1.0)
    assert [found[name] for name in ("callers", "spoken", "refused", "failed")] == [6, 3, 2, 1]
    assert found["reasons"] == [("broken", 1)]
    assert found["first_audio_ms"]["p50"] == pytest.approx(300)
    assert found["first_audio_ms"]["p100"] == pytest.approx(400)  # from the text that is enough
    assert (found["underruns"], found["judged"]) == (1, 2)
    assert found["underrun_ms"]["p100"] == pytest.approx(500)
    assert found["typist_behind_ms"]["p100"] == pytest.approx(200)
    assert found["refusal_ms"]["p100"] == pytest.approx(1030)
    assert found["refusal_beyond_queue_ms"]["p100"] == pytest.approx(30)
    assert found["goodput"].median == pytest.approx(1.0)  # 2 + 2 s in 4 s
    assert found["wasted_share"] == pytest.approx(1 / 3)
    later = outcome((3.5, 1.0), (4.2, 1.0), script=whole)
    unanswered = Outcome(whole, 0.0)
    # What came later does not count.
    assert goodput([later, unanswered], standards, 0, 4) == pytest.approx(0.25)


def test_a_picture_has_a_curve_for_each_rate() -> None:
    found = percentiles([0.010, 0.020, 0.5])
    assert found is not None
    page = distributions("First audio", {"1 x": cumulative(found), "<2> x": cumulative(found)})
    texts = [element.text for element in ET.fromstring(page).iter() if element.text]
    assert {"First audio", "1 x", "<2> x", "10 ms", "100 %"} <= set(texts)


# Calls.


def test_both_doors_are_called_and_sound_the_same(serve) -> None:
    running = serve()

    async def main() -> list[Outcome]:
        client = SledClient(running.url)
        scripts = make_scripts(["four two seven one"], [FAST, WHOLE])
        calls = [await client.call(Outcome(one, 0.0), time.perf_counter()) for one in scripts]
        alone = await run_alone(client, scripts, 1)
        assert alone[scripts[1]].enough_s == 0 <= alone[scripts[0]].enough_s <= 0.1
        await client.aclose()
        return calls

    typed, whole = asyncio.run(main())
    assert typed.ending is whole.ending is Ending.SPOKEN, (typed.reason, whole.reason)
    assert typed.audio_s == pytest.approx(whole.audio_s) and whole.audio_s > 0.2
    assert whole.ended_s >= whole.first_audio_s > 0


def test_callers_without_room_are_refused_and_others_go_on(serve) -> None:
    running = serve(max_sessions=1, queue_s=0)
    long = "four two seven one nine " * 80

    async def main() -> Run:
        client = SledClient(running.url)
        plan = [(0.0, Script(long, WHOLE, 1))]
        plan += [(0.3, one) for one in make_scripts([long], [FAST, WHOLE])]
        done = await run_arrivals(client, plan, 0.5)
        await client.aclose()
        return done

    done = asyncio.run(main())
    assert [one.ending for one in done.outcomes] == [
        Ending.SPOKEN,
        Ending.REFUSED,
        Ending.REFUSED,
    ], [one.reason for one in done.outcomes]


def test_a_server_that_refuses_a_few_callers_cannot_be_measured(serve) -> None:
    running = serve(max_sessions=1, queue_s=0)
    slow = Writer("slow", 2.0, 0.5)  # slower than speech, so that both call at a time

    async def main() -> None:
        client = SledClient(running.url)
        scripts = [Script(text, one, 1) for text in TEXTS for one in (WHOLE, slow)]
        try:
            await run_alone(client, scripts, 1)
        finally:
            await client.aclose()

    with pytest.raises(ValueError, match="refuses one of a few callers.*at_capacity"):
        asyncio.run(main())


def test_a_server_that_is_wrong_is_a_failure() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500, text="out of order")

    async def main() -> Outcome:
        client = OpenAIClient("http://nowhere")
        client._http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        return await client.call(Outcome(Script("one", WHOLE, 1), 0.0), time.perf_counter())

    call = asyncio.run(main())
    assert call.ending is Ending.FAILED
    assert "500" in call.reason and "out of order" in call.reason


async def call_server(answer: bytes, *, goes_on: bool) -> Outcome:
    """Call a server that sends some bytes, and then closes the connection or says nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(answer)
        if goes_on:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    client = OpenAIClient("http://{}:{}".format(*server.sockets[0].getsockname()))
    client._http = httpx.AsyncClient(transport=LightTransport(5.0, 0.05))
    try:
        return await client.call(Outcome(Script("one", WHOLE, 1), 0.0), time.perf_counter())
    finally:
        await client.aclose()
        server.close()


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
PART = b"%x\r\n%b\r\n" % (len(wav_header(RATE)) + 20, wav_header(RATE) + bytes(20))


def test_a_body_that_ends_is_heard() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    call = asyncio.run(call_server(early + CHUNKED + PART + b"0\r\n\r\n", goes_on=True))
    assert (call.ending, call.audio_s) == (Ending.SPOKEN, 10 / RATE), call.reason


@pytest.mark.parametrize("answer", [b"", b"speech", CHUNKED, CHUNKED + PART])
@pytest.mark.parametrize("goes_on", [False, True])
def test_an_answer_without_an_end_is_a_failure(answer: bytes, goes_on: bool) -> None:
    call = asyncio.run(call_server(answer, goes_on=goes_on))
    assert call.ending is Ending.FAILED
    assert "RemoteProtocolError" in call.reason


# The command.


@pytest.mark.parametrize("api", ["sled", "openai"])
def test_the_report(api, serve, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(measure, "WRITERS", (FAST, Writer("whole text", WHOLE.pieces_per_s, 0.5)))
    texts, picture = tmp_path / "texts.txt", tmp_path / "load.svg"
    texts.write_text("four two\nseven one nine\n")
    flags = ("--rates", "1", "2", "--seconds", "1", "--rounds", "1", "--capacity", "5")
    running = serve()
    where = ("--url", running.url, "--api", api, "--texts", texts, "--picture", picture)
    assert run("bench load", *where, *flags) == 0
    out = capsys.readouterr().out
    figures = json.loads(out.splitlines()[-1])
    assert figures["capacity_callers_per_s"] == 5
    for rate, one in figures["rates"].items():
        assert one["callers_per_s"] == 5 * float(rate)
        assert one["failed"] == 0, one["reasons"]
        assert one["spoken"] + one["refused"] == one["callers"] > 0
    assert ET.parse(picture).getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("served", "capacity", "steps"),
    [
        ([1.0, 1.9, 3.0, 3.1], 3.1, 4),
        ([1.0, 0.5], 1.0, 2),
        ([1.0, 2.0, 2.1], 2.1, 3),
    ],
)
def test_the_capacity_is_found_when_more_callers_add_nothing(
    served, capacity, steps, monkeypatch
) -> None:
    """Seconds of audio per second with 1, 2, 4 ... callers; a call has 2 s of audio."""
    asked = []

    async def grow(client, scripts, goes_on, rng) -> None:
        asked.append(1)
        while goes_on(asked[-1], [], 0.0, 1.0):
            asked.append(2 * asked[-1])

    monkeypatch.setattr(measure, "PAUSE_S", 0)
    monkeypatch.setattr(measure, "run_growing", grow)
    monkeypatch.setattr(measure, "goodput", lambda *_: served[len(asked) - 1])
    script = Script("one", WHOLE, 1)
    standards = {script: Alone(0.0, (0.1,), 0.0, 2.0, 0.0)}
    flags = Namespace(capacity=None, seconds=1.0)
    found, taken = asyncio.run(
        measure._capacity(SledClient("http://nowhere"), flags, [script], standards, None)
    )
    assert found == capacity / 2
    assert asked == [2**at for at in range(steps)] == [one["callers"] for one in taken]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rates", "0"], "above 0"),
        (["--capacity", "-1"], "above 0"),
        (["--rounds", "0"], "--rounds 0"),
        (["--api", "openai"], "give the --url"),
        (["--peer", "pocket-tts", "--url", "http://127.0.0.1:9"], "leave --url out"),
        (["--peer", "pocket-tts"], "has no pocket-tts"),
        (["--picture", "nowhere/load.svg"], "create it first"),
        (["--url", "http://127.0.0.1:9"], "no server answers there"),
        (["--url", "http://127.0.0.1:9", "--api", "pocket"], "does not speak"),
        (["--url", "http://127.0.0.1:9", "--texts", "/dev/null"], "the file is empty"),
    ],
)
def test_wrong_flags_end_with_a_line(flags, message, capsys) -> None:
    assert run("bench load", *flags) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_server_that_does_not_start_is_reported(monkeypatch) -> None:
    monkeypatch.setenv("SLED_MAX_LOAD", "-1")
    with pytest.raises(ValueError, match="did not start.*max_load"), own_server("digits"):
        pass
