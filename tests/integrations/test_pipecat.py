"""The voice for Pipecat, in real pipelines."""

import asyncio
from collections.abc import Sequence

import pytest

pytest.importorskip("pipecat")

from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.tests.utils import SleepFrame, run_test
from pipecat.utils.errors import ErrorCategory

from sled.integrations.pipecat import SledTTSService
from tests.integrations.conftest import num_speaking
from tests.integrations.fake_server import FakeServer, text_of, until
from tests.serving.conftest import Running

RATE = 24000


def turn(*tokens: str) -> list[Frame]:
    texts = [LLMTextFrame(token) for token in tokens]
    return [LLMFullResponseStartFrame(), *texts, LLMFullResponseEndFrame()]


def speak(service: SledTTSService, frames: Sequence[Frame]) -> tuple[list[Frame], list[Frame]]:
    down, up = asyncio.run(
        run_test(service, frames_to_send=[*frames, SleepFrame(0.5)], start_timeout=20)
    )
    return list(down), list(up)


def heard(frames: Sequence[Frame]) -> str:
    audio = b"".join(one.audio for one in frames if isinstance(one, TTSAudioRawFrame))
    return text_of(audio, RATE)


def test_tokens_pass_uncut_and_words_are_timed() -> None:
    with FakeServer() as server:
        service = SledTTSService(url=server.url, settings=SledTTSService.Settings(seed=3))
        frames, _ = speak(service, turn("Hel", "lo, ", "wor", "ld."))
    assert [one["text"] for one in server.said("input.text")] == ["Hel", "lo, ", "wor", "ld."]
    (config,) = server.said("session.config")
    assert (config["sample_rate"], config["seed"], config["marks"]) == (RATE, 3, "word")
    assert heard(frames) == "Hello, world."
    words = [one for one in frames if isinstance(one, TTSTextFrame)]
    assert [one.text for one in words] == ["Hello,", "world."]
    assert words[1].pts - words[0].pts == pytest.approx(0.07e9)  # seven characters later
    kinds = [type(one) for one in frames if isinstance(one, (TTSStartedFrame, TTSStoppedFrame))]
    assert kinds == [TTSStartedFrame, TTSStoppedFrame]


def test_audio_comes_before_the_text_is_complete() -> None:
    with FakeServer() as server:
        service = SledTTSService(url=server.url)
        start, *tokens, end = turn("first ", "second ")
        frames, _ = speak(service, [start, *tokens, SleepFrame(0.3), end])
        texts = [type(one) for one in frames]
    assert texts.index(TTSAudioRawFrame) < texts.index(LLMFullResponseEndFrame)
    assert heard(frames) == "first second "


def test_an_interruption_ends_the_utterance_and_the_next_one_is_said() -> None:
    told = []
    with FakeServer() as server:
        service = SledTTSService(url=server.url)

        @service.event_handler("on_heard_text")
        async def note(_: object, context_id: str, text: str) -> None:
            told.append(text)

        start, *tokens, _ = turn("one ", "two ", "three ")
        frames, _ = speak(
            service,
            [start, *tokens, SleepFrame(0.3), InterruptionFrame(), SleepFrame(0.2), *turn("four")],
        )
    assert len(server.said("response.cancel")) == 1
    assert server.connections == 1
    assert "one two three ".startswith(told[0]) and told[0]
    assert heard(frames).endswith("four")
    assert [one.text for one in frames if isinstance(one, TTSTextFrame)][-1] == "four"


def speak_and_listen(
    service: SledTTSService, frames: Sequence[Frame]
) -> tuple[list[Frame], list[str]]:
    """Speak; returns the frames, and what was heard before interruptions."""
    told = []

    @service.event_handler("on_heard_text")
    async def note(_: object, context_id: str, text: str) -> None:
        told.append(text)

    return speak(service, frames)[0], told


def test_an_interruption_ends_the_utterance_whose_audio_context_has_gone() -> None:
    """The framework gives up a context for which no audio comes for a while."""
    with FakeServer() as server:
        service = SledTTSService(url=server.url, stop_frame_timeout_s=0.1)
        start, *tokens, _ = turn("one ", "two ")
        pause = SleepFrame(0.4)
        frames, told = speak_and_listen(
            service, [start, *tokens, pause, InterruptionFrame(), *turn("three")]
        )
    assert len(server.said("response.cancel")) == 1
    assert told == ["one two "]
    assert heard(frames) == "one two three"


def test_the_text_is_complete_even_if_its_audio_context_has_gone() -> None:
    with FakeServer() as server:
        service = SledTTSService(url=server.url, stop_frame_timeout_s=0.1)
        start, *tokens, end = turn("one ", "two ")
        speak(service, [start, *tokens, SleepFrame(0.4), end])
    assert len(server.said("input.done")) == 1


def test_an_audio_context_waits_for_slow_audio() -> None:
    with FakeServer() as server:
        start, first, second, end = turn("one", " two")  # the first word ends with the second
        pauses = [SleepFrame(3.5)]
        frames, _ = speak(SledTTSService(url=server.url), [start, first, *pauses, second, end])
    assert [type(one) for one in frames].count(TTSStartedFrame) == 1
    assert heard(frames) == "one two"


def test_what_was_heard_is_told_after_the_server_is_done() -> None:
    """The server is ahead of the player, whose audio goes on when it has said all."""
    words = "word " * 60
    with FakeServer() as server:
        _, told = speak_and_listen(
            SledTTSService(url=server.url),
            [*turn(words), SleepFrame(0.5), InterruptionFrame(), SleepFrame(0.2)],
        )
    assert not server.said("response.cancel")
    (text,) = told
    assert words.startswith(text) and 20 <= len(text) < 299  # characters of 10 ms


def test_what_was_heard_of_each_turn_counts_from_its_own_beginning() -> None:
    with FakeServer() as server:
        _, told = speak_and_listen(
            SledTTSService(url=server.url),
            [
                *turn("word " * 40),
                *turn("other " * 20),
                SleepFrame(0.2),
                InterruptionFrame(),
                SleepFrame(0.2),
                *turn("last " * 60),
                SleepFrame(0.3),
                InterruptionFrame(),
                SleepFrame(0.2),
            ],
        )
    first, second, third = told
    assert first and second == ""
    assert third and len(third) < 299


def test_an_interruption_stops_a_real_server(marked: Running) -> None:
    text = "four two seven one nine " * 100
    speaking = []

    async def main() -> list[str]:
        service, told = SledTTSService(url=marked.url), []

        @service.event_handler("on_heard_text")
        async def note(_: object, context_id: str, text: str) -> None:
            speaking.append(num_speaking(marked))
            told.append(text)

        frames = [*turn(text), SleepFrame(2.0), InterruptionFrame(), SleepFrame(1.0)]
        await run_test(service, frames_to_send=frames, start_timeout=20)
        return told

    (heard_text,) = asyncio.run(main())
    assert heard_text and text.startswith(heard_text) and len(heard_text) < len(text) / 2
    assert speaking == [0]


def test_nothing_is_told_of_what_was_heard_to_its_end() -> None:
    with FakeServer() as server:
        _, told = speak_and_listen(
            SledTTSService(url=server.url),
            [*turn("one"), SleepFrame(0.4), InterruptionFrame(), SleepFrame(0.2)],
        )
    assert told == []


def test_what_may_not_be_interrupted_is_said_to_its_end() -> None:
    with FakeServer() as server:
        service = SledTTSService(url=server.url)
        note = TTSSpeakFrame("please note")
        note.interruptible = False
        start, first, second, _ = turn("one ", "two ")
        frames, told = speak_and_listen(
            service, [start, first, second, note, SleepFrame(0.2), InterruptionFrame()]
        )
    assert len(server.said("response.cancel")) == 1
    assert told == ["one two "]
    assert heard(frames) == "one two please note"


def test_a_model_without_word_times() -> None:
    with FakeServer(marks=False) as server:
        frames, up = speak(SledTTSService(url=server.url), turn("one ", "two"))
    assert heard(frames) == "one two"
    assert "".join(one.text for one in frames if isinstance(one, TTSTextFrame)) == "one two"
    assert not [one for one in up if isinstance(one, ErrorFrame)]


def test_turns_that_overlap_do_not_mix() -> None:
    """A sentence of the program, in the middle of an answer of the language model."""
    with FakeServer() as server:
        service = SledTTSService(url=server.url)
        start, first, second, end = turn("one ", "two")
        frames, _ = speak(service, [start, first, TTSSpeakFrame("hold on"), second, end])
    assert heard(frames) == "one twohold on"


def test_settings_can_be_changed_between_utterances() -> None:
    from pipecat.frames.frames import TTSUpdateSettingsFrame

    with FakeServer() as server:
        service = SledTTSService(url=server.url)
        change = TTSUpdateSettingsFrame(delta=SledTTSService.Settings(speed=1.5))
        frames, _ = speak(service, [*turn("one"), SleepFrame(0.2), change, *turn("two")])
    assert [one.get("speed") for one in server.said("session.config")] == [None, 1.5]
    assert heard(frames) == "onetwo"


def test_a_lost_connection_is_replaced() -> None:
    async def main(server: FakeServer) -> tuple[list[Frame], list[Frame]]:
        service = SledTTSService(url=server.url)
        start, *tokens, end = turn("one ", "two ")

        async def hang_up() -> None:
            await until(lambda: len(server.said("input.text")) == 2)
            await asyncio.to_thread(server.hang_up)

        frames = [start, *tokens, SleepFrame(0.6), end, *turn("three"), SleepFrame(0.5)]
        (down, up), _ = await asyncio.gather(
            run_test(service, frames_to_send=frames, start_timeout=20), hang_up()
        )
        return list(down), list(up)

    with FakeServer() as server:
        frames, _ = asyncio.run(main(server))
    assert server.connections == 2
    assert heard(frames) == "one two three"
    kinds = [type(one) for one in frames if isinstance(one, (TTSStartedFrame, TTSStoppedFrame))]
    assert kinds == 2 * [TTSStartedFrame, TTSStoppedFrame]


def test_a_lost_connection_is_replaced_when_text_comes() -> None:
    async def main(server: FakeServer) -> list[Frame]:
        service = SledTTSService(url=server.url, reconnect_on_error=False)

        async def hang_up() -> None:
            await until(lambda: server.num_open == 1)
            await asyncio.sleep(0.2)
            await asyncio.to_thread(server.hang_up)

        frames = [SleepFrame(1.0), *turn("one"), SleepFrame(0.5)]
        (down, _), _ = await asyncio.gather(
            run_test(service, frames_to_send=frames, start_timeout=20), hang_up()
        )
        return list(down)

    with FakeServer() as server:
        assert heard(asyncio.run(main(server))) == "one"


def test_an_interruption_while_connecting_does_not_leave_a_connection_that_nobody_reads() -> None:
    async def main(server: FakeServer) -> list[Frame]:
        service = SledTTSService(url=server.url, reconnect_on_error=False)

        async def hang_up() -> None:
            await until(lambda: server.num_open == 1)
            server.deaf = True
            await asyncio.to_thread(server.hang_up)
            await until(lambda: server.connections == 2)
            await until(lambda: server.num_open == 0)
            server.deaf = False

        start, first, _ = turn("one")
        frames = [SleepFrame(0.5), start, first, SleepFrame(0.5), InterruptionFrame()]
        frames += [SleepFrame(0.5), *turn("two"), SleepFrame(0.5)]
        (down, _), _ = await asyncio.gather(
            run_test(service, frames_to_send=frames, start_timeout=20), hang_up()
        )
        return list(down)

    with FakeServer() as server:
        assert heard(asyncio.run(main(server))) == "two"


def test_a_reply_whose_beginning_was_refused_is_not_begun_in_the_middle() -> None:
    with FakeServer(refuse=True) as server:
        start, *tokens, end = turn(*["one", "two", "three", "four", "five", "six"])
        pieces = [frame for token in tokens for frame in (token, SleepFrame(0.1))]
        frames, up = speak(SledTTSService(url=server.url), [start, *pieces, end])
    assert len(server.said("input.text")) == 1
    full = [one for one in up if isinstance(one, ErrorFrame) and "full" in one.error]
    assert [one.category for one in full] == [ErrorCategory.RATE_LIMIT]
    assert not heard(frames)


def test_the_end_of_the_pipeline_waits_for_the_last_words() -> None:
    with FakeServer() as server:
        start, *tokens, _ = turn("one ", "two")
        frames, _ = speak(SledTTSService(url=server.url), [start, *tokens])
    assert heard(frames) == "one two"


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_any_sample_rate(rate: int) -> None:
    with FakeServer() as server:
        frames, _ = speak(SledTTSService(url=server.url, sample_rate=rate), turn("one two"))
    audio = [one for one in frames if isinstance(one, TTSAudioRawFrame)]
    assert {one.sample_rate for one in audio} == {rate}
    assert text_of(b"".join(one.audio for one in audio), rate) == "one two"


@pytest.mark.parametrize(
    ("refuse", "voice", "message"),
    [(True, None, "full"), (False, "nobody", "no such voice")],
)
def test_errors_are_reported(refuse: bool, voice: str | None, message: str) -> None:
    with FakeServer(refuse) as server:
        service = SledTTSService(url=server.url, settings=SledTTSService.Settings(voice=voice))
        frames, up = speak(service, turn("one"))
    errors = [one.error for one in up if isinstance(one, ErrorFrame)]
    assert any(message in one for one in errors), errors
    assert not heard(frames)


def test_a_key_is_shown_and_a_wrong_one_is_not_tried_again() -> None:
    with FakeServer(key="right") as server:
        assert heard(speak(SledTTSService(url=server.url, api_key="right"), turn("one"))[0])
        frames, up = speak(SledTTSService(url=server.url, api_key="wrong"), turn("one ", "two"))
    errors = [one for one in up if isinstance(one, ErrorFrame)]
    found = [one.category for one in errors if "no connection" in one.error]
    assert found == [ErrorCategory.AUTHENTICATION]
    assert not heard(frames)


def test_without_a_server_the_error_tells_the_address() -> None:
    service = SledTTSService(url="http://127.0.0.1:9")
    _, up = speak(service, turn("one ", "two ", "three"))
    errors = [one.error for one in up if isinstance(one, ErrorFrame)]
    found = [one for one in errors if "ws://127.0.0.1:9" in one]
    assert 1 <= len(found) <= 2, errors  # at the start, and for the reply, not for each token
