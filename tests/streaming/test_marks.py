"""The marks of sessions: the same however its text and its time are divided."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from sled import TTS, DecodingOptions, Mark, Session
from tests.debug import (
    STREAM,
    debug_codec,
    debug_marked_codec,
    debug_marked_model,
    debug_model,
    debug_prompt,
    debug_tokenizer,
    debug_waveform,
)

TEXT = "Four, 77 [pause:0.3s] nine! two"
WORDS = ["Four,", "77", "nine!", "two"]


@cache
def marked_tts() -> TTS:
    model = debug_marked_model(**STREAM, max_position_embeddings=2048, min_frames_per_token=4.0)
    return TTS(model, debug_tokenizer(), debug_marked_codec())


@cache
def whole() -> tuple[tuple[Mark, ...], float]:
    speech = marked_tts().say(TEXT, seed=1)
    return speech.marks, speech.seconds


def opened(**options: object) -> Session:
    return marked_tts().open_session(seed=1, max_start_delay_s=0.0, **options)


def drained(session: Session) -> list[Mark]:
    session.flush()
    for _ in session:
        pass
    return session.marks()


@cache
def fed_at_once() -> list[Mark]:
    with opened() as session:
        session.feed(TEXT)
        return drained(session)


def test_every_word_has_a_mark_in_order():
    marks, seconds = whole()
    assert [mark.text for mark in marks] == WORDS
    assert all(mark.text == TEXT[mark.start_char : mark.end_char] for mark in marks)
    for before, after in pairwise(marks):
        assert before.start_s < before.end_s <= after.start_s
    assert marks[-1].end_s <= seconds
    assert marks[2].start_s - marks[1].end_s >= 0.3  # the pause belongs to no word


def test_what_is_taken_has_its_marks_and_was_heard():
    with opened() as session:
        session.feed(TEXT)
        session.flush()
        taken, seconds = [], 0.0
        for audio in session:
            seconds += len(audio) / session.sample_rate
            new = session.marks(since=len(taken))
            assert all(mark.end_s <= seconds for mark in new)
            taken += new
            assert session.heard_text(1e9) in TEXT
        assert session.marks(since=len(taken)) == []
        assert session.heard_text(1e9) == TEXT
        for mark in taken:
            assert session.heard_text(mark.start_s - 0.001).strip() in TEXT[: mark.start_char]
            assert session.heard_text(mark.start_s + 0.001).startswith(TEXT[: mark.end_char])
        for count, mark in enumerate(taken, 1):
            assert session.marks(until_s=mark.end_s) == taken[:count]
        characters = session.marks("character")
    assert "".join(mark.text for mark in characters) == "".join(WORDS)


@pytest.mark.parametrize("cuts", [range(len(TEXT)), [7, 15, 26]], ids=["characters", "pieces"])
def test_any_cut_of_the_text_gives_the_same_marks(cuts):
    with opened() as session:
        for start, stop in pairwise([0, *cuts, len(TEXT)]):
            session.feed(TEXT[start:stop])
        marks = drained(session)
    assert marks == fed_at_once()


def test_a_batch_has_the_marks_of_each_alone():
    texts = ["three", TEXT, "one one six"]
    together = marked_tts().synthesize(texts, seeds=[5, 1, 6])
    assert together[1].marks == whole()[0]
    assert [len(one.marks) for one in together] == [1, 4, 3]


@pytest.mark.parametrize("num_taken", [0, 1])
def test_a_session_continued_from_a_snapshot_has_the_same_marks(num_taken):
    text, rest = "four two seven one nine two four seven ", "nine"
    with opened() as session:
        session.feed(text)
        pieces = iter(session)
        for _ in range(num_taken):
            next(pieces)
        state, before = session.snapshot(), session.marks()
        session.feed(rest)
        expected = drained(session)
    assert len(expected) == 9
    for _ in range(2):
        with marked_tts().resume_session(state) as session:
            assert session.marks() == before
            session.feed(rest)
            assert drained(session) == expected


def test_a_voice_and_trimming_do_not_shift_marks():
    """Times count from the audio that is returned, which the recording is not a part of."""
    voice = marked_tts().make_voice(debug_prompt("one", debug_waveform(0.8)))
    with opened(voice=voice, trim_tail=True) as session:
        session.feed("four two")
        session.flush()
        seconds = sum(len(audio) for audio in session) / session.sample_rate
        marks = session.marks()
    assert [mark.text for mark in marks] == ["four", "two"]
    assert marks[0].start_s < 0.2 and marks[1].end_s <= seconds


def test_a_cancelled_session_keeps_the_marks_of_what_was_taken():
    with opened() as session:
        session.feed(TEXT)
        session.flush()
        pieces = iter(session)
        taken = np.concatenate([next(pieces) for _ in range(6)])
        session.cancel()
        assert all(mark.end_s <= len(taken) / session.sample_rate for mark in session.marks())
        assert TEXT.startswith(session.heard_text(1e9))


@pytest.mark.parametrize("tracked", [False, True])
def test_a_model_or_a_session_that_does_not_track_its_text_has_no_marks(tracked):
    if tracked:
        session = opened(decoding=DecodingOptions(track_text=False, max_frames=4))
    else:
        tts = TTS(debug_model(), debug_tokenizer(), debug_codec())
        session = tts.open_session(decoding=DecodingOptions(max_frames=4))
    with session:
        session.feed("four two")
        assert drained(session) == []
        assert not session.has_marks
        assert session.heard_text(9.0) == ""
    assert opened().has_marks
