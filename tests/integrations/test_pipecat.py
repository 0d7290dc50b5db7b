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

from sled.integrations.pipecat import SledTTSService
from tests.integrations.fake_server import FakeServer, text_of

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


def test_without_a_server_the_error_tells_the_address() -> None:
    service = SledTTSService(url="http://127.0.0.1:9")
    _, up = speak(service, turn("one"))
    errors = [one.error for one in up if isinstance(one, ErrorFrame)]
    assert any("ws://127.0.0.1:9" in one for one in errors), errors
