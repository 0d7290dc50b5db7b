"""The threads of an engine begin with the first session, and have ended when it is closed."""

import threading

import pytest

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
