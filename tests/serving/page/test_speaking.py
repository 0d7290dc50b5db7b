"""The page speaks: text goes in as it is typed, and what comes is heard."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from tests.serving.conftest import Running
from tests.serving.page.conftest import OpenPage

if TYPE_CHECKING:
    from playwright.sync_api import Page, WebSocketRoute

SOCKET = "**/v1/audio/speech/stream*"
TEXT = "one two three four five six seven eight nine"
# The samples that the page has put out so far, from now on.
TAP = """async () => {
  const { Recorder } = await import('/page/recorder.js');
  await sled.player.open();
  window.tap = new Recorder();
  await window.tap.listen(sled.player.analyser);
}"""
STATE = """() => {
  const reading = sled.speaking.reading;
  return {
    state: document.body.dataset.state, received: reading.received, complete: reading.complete,
    played: sled.player.playedSamples, length: reading.tape.length, text: reading.text,
    position: sled.player.position, sent: reading.sent, speaking: reading.speaking,
  };
}"""


def state(page: Page) -> dict[str, Any]:
    return dict(page.evaluate(STATE))


def wait_for(page: Page, condition: str) -> None:
    page.wait_for_function(f"() => {{ const r = sled.speaking.reading; return {condition}; }}")


def tapped(page: Page) -> np.ndarray:
    return np.concatenate(
        [np.zeros(1), *page.evaluate("tap.pieces.map((piece) => Array.from(piece))")]
    )


def type_text(page: Page, text: str) -> None:
    page.locator("#text").press_sequentially(text)


def test_each_key_is_sent_and_audio_comes_before_the_text_is_complete(page: Page) -> None:
    messages: list[str] = []
    page.on("websocket", lambda one: one.on("framesent", lambda data: messages.append(data)))
    type_text(page, TEXT)
    wait_for(page, "r.received > 0")
    assert not state(page)["complete"]
    assert not [one for one in messages if "input.done" in str(one)]
    assert len([one for one in messages if "input.text" in str(one)]) == len(TEXT)
    page.keyboard.press("Control+Enter")
    wait_for(page, "r.complete && !r.speaking && sled.player.ended")


def test_every_sample_is_played_once(page: Page) -> None:
    page.evaluate(TAP)
    page.locator("#live").uncheck()
    type_text(page, TEXT)
    page.locator("#speak").click()
    wait_for(page, "r.tape.length > 0 && !r.speaking && sled.player.ended")
    wait_for(page, "document.body.dataset.state === 'idle'")
    end = state(page)
    assert end["received"] == end["length"] == end["played"] == end["position"]
    time.sleep(0.3)
    heard = tapped(page)
    rate = page.evaluate("sled.player.context.sampleRate")
    sounding = np.flatnonzero(np.abs(heard) > 1e-4)
    duration = (sounding[-1] - sounding[0]) / rate
    # Gaps, where the machine was too slow, can only make it longer.
    assert duration >= 0.9 * end["length"] / 24_000


def test_what_is_heard_is_what_was_sent(page: Page, marked: Running) -> None:
    """The output, resampled by the page, against the samples of the tape resampled by soxr."""
    soxr = pytest.importorskip("soxr")
    page.evaluate(TAP)
    page.locator("#live").uncheck()
    type_text(page, "one two")
    page.locator("#speak").click()
    wait_for(page, "r.tape.length > 0 && !r.speaking")
    wait_for(page, "sled.player.ended")
    page.evaluate("tap.pieces = []")
    page.locator("#pause").click()  # hear again: all of it is there now
    wait_for(page, "!sled.player.ended")
    wait_for(page, "sled.player.ended")
    time.sleep(0.3)
    heard = tapped(page)
    rate = page.evaluate("sled.player.context.sampleRate")
    tape = np.array(page.evaluate("Array.from(sled.speaking.reading.tape.read(0, 1e9))"))
    expected = soxr.resample(tape, 24_000, rate, quality="VHQ")
    shifts = np.fft.irfft(
        np.fft.rfft(heard, 2 * len(heard)) * np.conj(np.fft.rfft(expected, 2 * len(heard)))
    )
    shift = int(np.argmax(shifts[: len(heard)]))
    inner = slice(1000, len(expected) - 1000)
    error = heard[shift : shift + len(expected)][inner] - expected[inner]
    # Random weights make noise up to the highest frequency, where the filters differ.
    assert np.mean(error**2) < 0.05 * np.mean(expected[inner] ** 2)


STOPS = {
    "key": "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))",
    "button": "document.getElementById('stop').click()",
}


def heard_after_stop_s(page: Page, way: str) -> float:
    """Seconds of audio from a stop to the last sound, by the clock of what puts it out."""
    stop = f"() => {{ const now = sled.player.context.currentTime; {STOPS[way]}; return now; }}"
    stopped_s = page.evaluate(stop)
    time.sleep(0.5)
    now_s, rate = page.evaluate("[sled.player.context.currentTime, sled.player.context.sampleRate]")
    heard = tapped(page)[1:]
    sounding = np.flatnonzero(np.abs(heard) > 1e-4)
    last_s = now_s - (len(heard) - int(sounding[-1])) / rate if len(sounding) else stopped_s
    return max(0.0, float(last_s - stopped_s))


@pytest.mark.parametrize("way", STOPS)
def test_a_stop_silences_what_was_there_to_be_heard(page: Page, way: str) -> None:
    """How soon depends on the machine: listen.py measures it."""
    page.evaluate(TAP)
    type_text(page, " ".join([TEXT] * 8))
    page.keyboard.press("Control+Enter")
    # A slow machine makes speech no faster than it is played: it waits meanwhile.
    page.evaluate("() => window.sled.player.pause()")
    wait_for(page, "r.tape.length - sled.player.position > 96000")
    page.evaluate("() => window.sled.player.play()")
    wait_for(page, "sled.player.position > 0 && r.tape.length - sled.player.position > 72000")
    silent_s = heard_after_stop_s(page, way)
    assert silent_s < 1.5, "of three seconds that were there"
    assert state(page)["state"] == "idle"
    after = state(page)
    time.sleep(0.3)
    assert state(page)["length"] == after["length"], "nothing comes after the stop"


def test_stop_tells_the_server_how_much_was_heard(page: Page, marked: Running) -> None:
    messages: list[str] = []
    page.on("websocket", lambda one: one.on("framesent", lambda data: messages.append(str(data))))
    type_text(page, " ".join([TEXT] * 3))
    page.keyboard.press("Control+Enter")
    wait_for(page, "sled.player.position > 4800")
    page.keyboard.press("Escape")
    page.wait_for_timeout(200)
    (cancel,) = [one for one in messages if "response.cancel" in one]
    played_ms = int(cancel.rpartition(":")[2].strip("}"))
    assert abs(played_ms - state(page)["length"] / 24) < 2
    marked.wait_until(lambda: marked.server.active == 0)


def test_a_correction_begins_anew(page: Page) -> None:
    type_text(page, "one two three fuor")
    wait_for(page, "r.sent === r.text.length")
    for _ in range(3):
        page.keyboard.press("Backspace")
    type_text(page, "our five")
    page.keyboard.press("Control+Enter")
    wait_for(page, "r.tape.length > 0 && !r.speaking && sled.player.ended")
    end = state(page)
    assert end["text"] == "one two three four five" and end["sent"] == len(end["text"])
    assert page.locator("#words").inner_text() == end["text"]


def test_text_after_a_pause_is_another_utterance(page: Page) -> None:
    type_text(page, "one two.")
    wait_for(page, "r.complete && !r.speaking")
    before = state(page)["length"]
    type_text(page, " three four.")
    wait_for(page, "r.complete && !r.speaking && sled.player.ended")
    assert state(page)["length"] > before
    assert page.evaluate("sled.speaking.reading.parts.length") == 2


def test_after_a_stop_only_the_new_sentence_is_spoken(page: Page) -> None:
    sent: list[str] = []
    type_text(page, "one two. Three")
    page.keyboard.press("Escape")
    page.on("websocket", lambda one: one.on("framesent", lambda data: sent.append(str(data))))
    type_text(page, " four.")
    wait_for(page, "r.complete && !r.speaking")
    texts = [json.loads(one).get("text", "") for one in sent]
    assert "".join(texts) == "Three four."


def test_other_settings_hold_from_the_next_utterance_on(page: Page) -> None:
    configs: list[str] = []
    page.on("websocket", lambda one: one.on("framesent", lambda data: configs.append(str(data))))
    type_text(page, "one two.")
    wait_for(page, "r.complete && !r.speaking")
    page.locator("#speed").fill("1.5")
    type_text(page, " three four.")
    wait_for(page, "r.parts.length === 2 && r.complete && !r.speaking")
    speeds = [json.loads(one)["speed"] for one in configs if "session.config" in one]
    assert speeds == [1, 1.5]


def test_pause_and_hear_again(page: Page) -> None:
    page.locator("#live").uncheck()
    type_text(page, TEXT)
    page.locator("#speak").click()
    wait_for(page, "!sled.player.dry && sled.player.position > 2400")
    page.locator("#pause").click()
    assert state(page)["state"] == "paused"
    page.wait_for_timeout(100)
    before = state(page)["position"]
    page.wait_for_timeout(300)
    assert state(page)["position"] == before
    page.locator("#words").focus()
    page.keyboard.press("Space")
    wait_for(page, "!r.speaking && sled.player.ended")
    played = state(page)["played"]
    page.locator("#pause").click()
    wait_for(page, f"sled.player.ended && sled.player.playedSamples >= {played} + r.tape.length")


def test_a_chat_is_written_token_by_token(page: Page) -> None:
    page.locator("#tab-chat").click()
    page.locator("#chat").fill(
        "User: Count.\nAssistant: one two three.\nUser: On.\nBot: four five."
    )
    page.locator("#pace").evaluate("(one) => { one.value = 40; }")
    page.locator("#speak").click()
    wait_for(page, "r.received > 0")
    assert "User Count." in page.locator("#words").inner_text()
    wait_for(page, "r.text.endsWith('four five.') && !r.speaking && sled.player.ended")
    assert state(page)["text"] == "one two three.\n\nfour five."
    assert page.evaluate("sled.speaking.reading.parts.length") == 2
    assert page.locator("#words .aside").count() == 2


def test_again_says_the_same_with_another_seed(page: Page) -> None:
    page.locator("#live").uncheck()
    type_text(page, "one two")
    seeds = []
    for button in ("#speak", "#again"):
        page.locator(button).click()
        wait_for(page, "r.tape.length > 0 && !r.speaking")
        seeds.append(page.evaluate("sled.speaking.reading.request.seed"))
    assert seeds[0] != seeds[1]


def test_sliders_go_into_the_request(page: Page) -> None:
    assert page.evaluate("Object.keys(sled.settings.snapshot())") == ["voice", "speed", "seed"]
    for name, value in {"speed": 1.5, "temperature": 0.5, "guidance": 3}.items():
        page.locator(f"#{name}").fill(str(value))
    page.locator("#seed").fill("42")
    page.locator("#seed").blur()
    request = page.evaluate("sled.settings.snapshot()")
    assert request.pop("voice") == "tiny"
    assert request == {"speed": 1.5, "seed": 42, "temperature": 0.5, "cfg": 3}
    page.locator("#temperature-reset").click()
    assert "temperature" not in page.evaluate("sled.settings.snapshot()")


# Audio files of the same text and seed.


@pytest.mark.parametrize("audio_format", ["wav", "mp3", "opus"])
def test_downloads(page: Page, audio_format: str) -> None:
    page.locator("#live").uncheck()
    type_text(page, "one two")
    page.locator("#speak").click()
    wait_for(page, "r.tape.length > 0 && !r.speaking")
    with page.expect_download() as waiting:
        page.locator(f"#download-{audio_format}").click()
    assert waiting.value.suggested_filename == f"speech.{audio_format}"
    data = waiting.value.path().read_bytes()
    tape = np.array(page.evaluate("Array.from(sled.speaking.reading.tape.read(0, 1e9))"))
    if audio_format == "wav":
        samples = np.frombuffer(data[44:], "<i2") / 32768
        assert np.abs(samples - tape).max() < 2e-3
        return
    with av.open(io.BytesIO(data)) as file:
        seconds = sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))
    assert abs(seconds - len(tape) / 24_000) < 0.1


# When something fails.


def answer_with(messages: list[str], close: int | None) -> Callable[[WebSocketRoute], None]:
    """A server that answers the first text so."""

    def serve(socket: WebSocketRoute) -> None:
        def on_message(message: str | bytes) -> None:
            if "input.done" in str(message):
                for one in messages:
                    socket.send(one)
                if close is not None:
                    socket.close(code=close)

        socket.on_message(on_message)

    return serve


def test_at_capacity_it_tries_again(page: Page) -> None:
    full = '{"type": "error", "code": "at_capacity", "message": "full", "retry_after_ms": 600}'
    page.route_web_socket(SOCKET, answer_with([full], 1013))
    page.locator("#live").uncheck()
    type_text(page, "one two")
    page.locator("#speak").click()
    page.get_by_text("as many callers as it can").wait_for()
    page.route_web_socket(SOCKET, lambda socket: socket.connect_to_server())
    wait_for(page, "r.tape.length > 0 && !r.speaking && sled.player.ended")
    assert page.locator("#notice").is_hidden()


def test_a_lost_connection_is_told_and_can_be_mended(page: Page) -> None:
    page.route_web_socket(SOCKET, answer_with([], 1012))
    page.locator("#live").uncheck()
    type_text(page, "one two")
    page.locator("#speak").click()
    page.get_by_text("connection to the server was lost").wait_for()
    page.route_web_socket(SOCKET, lambda socket: socket.connect_to_server())
    page.get_by_role("button", name="Go on").click()
    wait_for(page, "r.tape.length > 0 && !r.speaking && sled.player.ended")


def test_a_token_of_a_server_that_was_started_again_is_replaced(open_page: OpenPage) -> None:
    page = open_page(expected="Authentication failed")
    page.wait_for_selector("#voices input")
    page.evaluate("sled.api.token = { token: 'old', endsMs: Infinity }")
    page.locator("#live").uncheck()
    type_text(page, "one two")
    page.locator("#speak").click()
    wait_for(page, "r.tape.length > 0 && !r.speaking")


def test_a_download_that_breaks_off_is_told(page: Page) -> None:
    script = """async () => {
      const broken = new ReadableStream({ start: (body) => body.error(new TypeError("cut")) });
      window.fetch = async () => new Response(broken);
      return sled.api.speech({}).catch((error) => error.code);
    }"""
    assert page.evaluate(script) == "lost"


def test_what_the_server_refuses_is_told(page: Page) -> None:
    page.locator("#live").uncheck()
    page.locator("#text").fill("one " * 13_000)
    page.locator("#speak").click()
    page.get_by_text("the text has more than 50000 characters").wait_for()
    wait_for(page, "document.body.dataset.state === 'idle'")


def test_a_model_that_does_not_tell_its_words_speaks_too(
    open_page: OpenPage, served: Running
) -> None:
    page = open_page(served.url)
    page.wait_for_selector("#voices input")
    type_text(page, TEXT)
    page.keyboard.press("Control+Enter")
    wait_for(page, "r.tape.length > 0 && !r.speaking && sled.player.ended")
    assert page.locator("#no-marks").is_visible()
    assert page.locator("#download-srt").is_disabled()


def test_while_the_model_is_loading(open_page: OpenPage, serve: Callable[..., Running]) -> None:
    running = serve()
    service, running.server._service = running.server._service, None
    page = open_page(running.url, expected="503")
    page.get_by_text("The model is loading").wait_for()
    assert page.locator("#speak").is_disabled()
    running.server._service = service
    page.wait_for_selector("#voices input")
    assert page.locator("#notice").is_hidden() and page.locator("#speak").is_enabled()


def test_a_key_is_asked_for(open_page: OpenPage, serve: Callable[..., Running]) -> None:
    running = serve(keys=["secret"])
    page = open_page(running.url, expected="401")
    for key in ("wrong", "secret"):
        page.locator("#key").fill(key)
        page.get_by_role("button", name="Use it").click()
    page.wait_for_selector("#key", state="hidden")
    type_text(page, "one two")
    page.keyboard.press("Control+Enter")
    wait_for(page, "r.tape.length > 0 && !r.speaking")
    assert "secret" not in page.locator("#code").inner_text()
    assert "$SLED_KEY" in page.locator("#code").inner_text()


# The refusal of an old key comes after a new one was accepted.
LATE_REFUSAL = """async () => {
  let asked = 0, release;
  const held = new Promise((resolve) => { release = resolve; });
  const api = new sled.api.constructor(async () => { asked += 1; return "secret"; });
  sessionStorage.setItem("sled-key", "wrong");
  const fetched = window.fetch;
  window.fetch = async (url, options) => {
    const response = await fetched(url, options);
    const late = options.headers.get("authorization") === "Bearer wrong";
    if (late && String(url).endsWith("voices")) await held;
    return response;
  };
  const voices = api.voices();
  await api.model();
  release();
  await voices;
  return asked;
}"""


def test_a_late_refusal_of_an_old_key_does_not_take_the_new_one(
    open_page: OpenPage, serve: Callable[..., Running]
) -> None:
    page = open_page(serve(keys=["secret"]).url, expected="401")
    assert page.evaluate(LATE_REFUSAL) == 1


# An hour of speech in an instant: what comes from the server is put in by hand.
LONG = """async (minutes) => {
  sled.api.socketUrl = () => new Promise(() => {});
  const reading = sled.speaking.begin();
  const words = Array.from({length: 150}, (_, at) => `word${at}`).join(' ') + ' ';
  const minute = new Int16Array(60 * 24000).fill(3000);
  for (let done = 0; done < minutes; done += 1) {
    reading.write(words);
    reading.tape.append(minute);
    let char = done * words.length;
    for (const [at, word] of words.trim().split(' ').entries()) {
      const start = (done * 60 + at * 0.4) * 24000;
      const endChar = char + word.length;
      reading.marks.push({text: word, start, end: start + 9600, startChar: char, endChar});
      char = endChar + 1;
    }
    reading.dispatchEvent(new Event('change'));
    sled.player.seek(reading.tape.length - 24000 * 5);
    if (done % 10 === 0) await new Promise(requestAnimationFrame);
  }
  await new Promise(requestAnimationFrame);
  return reading.tape.blocks.size;
}"""


def kept_bytes(page: Page) -> int:
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    usage = session.send("Runtime.getHeapUsage")
    return int(usage["usedSize"] + usage.get("backingStorageSize", 0))


def test_an_hour_of_speech_keeps_no_more_than_its_last_minutes(page: Page) -> None:
    assert page.evaluate(LONG, 60) <= 20 * 60 + 2
    assert page.locator(".word").count() == 60 * 150
    assert kept_bytes(page) < 200e6


def test_readings_leave_nothing_behind(page: Page) -> None:
    sizes = []
    for _ in range(3):
        for _ in range(6):
            page.evaluate(LONG, 1)
        sizes.append(kept_bytes(page))
    assert sizes[2] - sizes[0] < 60 * 24_000 * 2  # twelve readings leave less than one holds
