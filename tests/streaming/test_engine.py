"""The threads of an engine begin with the first session, and have ended when it is closed."""

import threading

import pytest

from sled.decoding import DecodingOptions
from sled.streaming.codec_thread import CodecThread
from sled.tts import TTS
from tests.debug import STREAM, debug_codec, debug_model, debug_tokenizer


def test_closing_waits_for_threads_that_are_ending_already(monkeypatch: pytest.MonkeyPatch):
    """The interpreter would crash if it ended while one of them computes."""
    has_come, may_go_on = threading.Event(), threading.Event()
    stop = CodecThread.stop

    def stop_later(self: CodecThread) -> None:
        has_come.set()
        may_go_on.wait(30)
        stop(self)

    monkeypatch.setattr(CodecThread, "stop", stop_later)
    tts = TTS(debug_model(**STREAM), debug_tokenizer(), debug_codec())
    tts.say("four two")
    assert has_come.wait(30)  # nothing is left to say, so the threads end
    closing = threading.Thread(target=tts.engine.close)
    closing.start()
    closing.join(0.05)
    assert closing.is_alive()
    may_go_on.set()
    closing.join(30)
    assert not closing.is_alive()


def test_sessions_end_with_an_error_even_if_no_new_decoder_can_be_made(
    monkeypatch: pytest.MonkeyPatch,
):
    """As on a GPU that has failed. Later sessions work, once it works again."""
    tts, errors = TTS(debug_model(**STREAM), debug_tokenizer(), debug_codec()), list[str]()

    def say() -> None:
        try:
            tts.say("four two", options=DecodingOptions(max_frames=9))
        except RuntimeError as error:
            errors.append(str(error))

    def fail(*_: object) -> None:
        raise RuntimeError("no GPU")

    with monkeypatch.context() as patch:
        patch.setattr(tts.model, "advance", fail)
        patch.setattr(tts.model, "new_cache", fail)
        for number in (1, 2):
            caller = threading.Thread(target=say, daemon=True)
            caller.start()
            caller.join(30)
            assert errors == ["no GPU"] * number
    say()
    assert len(errors) == 2
