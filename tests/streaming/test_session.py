"""A session gives the audio of the whole text decoded at once, however text and audio are cut."""

import asyncio
import gc
import pickle
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sled.decoding import DecodingOptions, Request, generate
from sled.model.cache import KVCache
from sled.streaming.chunks import ChunkRamp
from sled.streaming.pace import Pace
from sled.streaming.segment_budget import PAST_SHARE
from sled.streaming.session import Session
from sled.text.segments import SegmentLimits, split_segments
from sled.tts import TTS
from tests.debug import (
    HOP,
    LAYOUT_IDS,
    LAYOUTS,
    OFFLINE,
    SAMPLE_RATE,
    STREAM,
    debug_codec,
    debug_model,
    debug_prompt,
    debug_tokenizer,
    debug_waveform,
    randn,
)
from tests.ids import debug_id_codec, debug_id_model

NEVER = 2.0
# A chunk is more than the codec waits for, so that two tokens are heard before more text comes.
EAGER = {"stream_n": 2, "stream_m": 8}
LONG_CHUNKS = {"stream_n": 2, "stream_m": 30, "max_position_embeddings": 1024}
TEXT = "four two seven one nine"
both_layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)


def debug_tts(**changes: object) -> TTS:
    """A TTS whose segments hold about fifty tokens, or fewer if the model has few positions."""
    model = debug_model(**({"max_frames_per_token": 2.0} | changes))
    return TTS(model, debug_tokenizer(), debug_codec())


def frames(count: int, **others: object) -> DecodingOptions:
    """Options for speech of exactly `count` frames."""
    return DecodingOptions(stop_threshold=NEVER, max_frames=count, **others)


def whole(
    tts: TTS,
    text: str,
    seed: int,
    options: DecodingOptions,
    prompt: tuple[str, torch.Tensor] | None = None,
) -> np.ndarray:
    """The audio of a text whose frames and samples are each decoded in one pass."""
    said, latents = prompt or ("", torch.empty(0, 32))
    request = Request(tts.tokenizer.encode(f"{said} {text}".strip()), latents)
    spoken = generate(tts.model, [request], [torch.Generator().manual_seed(seed)], options)[0]
    audio = tts.codec.decode(torch.cat((latents, spoken.speech))[None])[0]
    return audio[len(latents) * HOP :].numpy()


def assert_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def drain(session: Session) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *session])


def say(tts: TTS, text: str, **settings: object) -> np.ndarray:
    with tts.open_session(**settings) as session:
        session.feed(text)
        session.flush()
        return drain(session)


# What is said.


@both_layouts
@given(
    cuts=st.lists(st.integers(0, len(TEXT)), max_size=8).map(sorted),
    first=st.integers(1, 9),
    growth=st.floats(1, 3),
)
@settings(max_examples=15)
def test_text_fed_in_pieces_gives_the_audio_of_the_whole_text(layout, cuts, first, growth):
    tts, options = debug_tts(**layout), frames(25)
    ramp = ChunkRamp(first_frames=first, growth=growth, max_frames=16)
    with tts.open_session(seed=3, decoding=options, ramp=ramp) as session:
        for start, stop in zip([0, *cuts], [*cuts, len(TEXT)], strict=True):
            session.feed(TEXT[start:stop])
        session.flush()
        assert_same(drain(session), whole(tts, TEXT, 3, options))


@both_layouts
def test_a_session_stops_where_the_model_stops(layout):
    """The frame of the step that stops is not part of the audio."""
    tts = debug_tts(**layout)
    spoken = tts.say(TEXT, seed=1, options=DecodingOptions(stop_threshold=0.3, min_frames=9))
    assert spoken.stopped
    assert len(spoken.audio) == len(spoken.units) * HOP
    assert_same(spoken.audio, tts.codec.decode(spoken.units[None])[0].numpy())
    assert not tts.say(TEXT, seed=1, options=frames(9)).stopped


@both_layouts
@pytest.mark.parametrize("prompt_s", [0.04, 0.5])  # shorter than the codec waits for, and longer
def test_speech_continues_a_voice_whose_recording_is_not_in_the_audio(layout, prompt_s):
    tts, options = debug_tts(**layout), frames(12)
    prompt = debug_prompt(" one  four ", debug_waveform(prompt_s))
    codes = tts.codec.encode([torch.from_numpy(prompt.audio)])[0]
    expected = whole(tts, TEXT, 0, options, ("one four", tts.codec.codes_to_units(codes)))
    assert_same(say(tts, TEXT, voice=prompt, decoding=options), expected)


def test_sessions_that_run_at_once_give_the_audio_that_each_gives_alone():
    tts, options = debug_tts(**STREAM), frames(20)
    texts = [f"{word} two seven" for word in ("four", "one", "nine", "seven", "two")]
    together = tts.synthesize(texts, seeds=7, options=options)
    for seed, (text, spoken) in enumerate(zip(texts, together, strict=True), 7):
        assert_same(spoken.audio, whole(tts, text, seed, options))


def stops_after(tts: TTS, count: int) -> TTS:
    """Let the model stop each segment after `count` frames."""
    decisions: dict[str, int] = {"made": 0}

    def stop_probability(hidden: torch.Tensor) -> torch.Tensor:
        decisions["made"] += 1
        return torch.full(hidden.shape[:-1], float(decisions["made"] % (count + 1) == 0))

    tts.model.stop_probability = stop_probability
    return tts


@pytest.mark.parametrize("with_voice", [False, True])
def test_text_of_any_length_is_said_segment_by_segment(with_voice):
    """The prompt of a segment is the voice and as many earlier segments as fit.

    Segments of 40 frames in 300 positions, of which 120 may hold what is continued: three of them,
    or the voice of 15 and two.
    """
    tts = debug_tts(**STREAM, max_position_embeddings=300, max_frames_per_token=5.0)
    tts = stops_after(tts, 40)
    text = " ".join(["four two seven one", "nine nine", "two four one seven", "one two"] * 6)
    voice = tts.make_voice(debug_prompt("one", debug_waveform(0.2))) if with_voice else None
    past = [("one", voice.units)] if voice else []
    session = tts.open_session(voice=voice)
    generator, expected = torch.Generator().manual_seed(0), []
    for number, segment in enumerate(segments_of(session, text)):
        kept = past[:1] + past[1:][-2:] if with_voice else past[-3:]
        assert number < 4 or len(kept) == 3
        ids = tts.tokenizer.encode(" ".join([*(said for said, _ in kept), segment]))
        prompt = torch.cat([latents for _, latents in kept]) if kept else None
        request = Request(ids, prompt, prompt_tokens=len(ids))  # no limits on its length
        options = DecodingOptions(length_tolerance=None)
        spoken = generate(tts.model, [request], [generator], options)[0].speech
        expected.append(spoken)
        past.append((segment, spoken))
    assert len(expected) >= 5
    lead = [voice.units] if voice else []
    audio = tts.codec.decode(torch.cat([*lead, *expected])[None])[0].numpy()
    session.feed(text)
    session.flush()
    assert_same(drain(session), audio[sum(map(len, lead)) * HOP :])
    assert session.stopped


def test_a_cut_segment_is_not_continued_and_its_unread_text_follows():
    """The positions end before the text of a segment is read; the next segment says the rest."""
    tts = debug_tts(stream_n=1, stream_m=9, max_position_embeddings=40)
    limits = SegmentLimits(40, 40)  # far too large
    session = tts.open_session(decoding=DecodingOptions(stop_threshold=NEVER), limits=limits)
    runner, said = session._runner, []
    begin = runner._begin_segment
    runner._begin_segment = lambda: said.append(runner.speech.text) or begin()
    session.feed(TEXT)
    session.flush()
    drain(session)
    assert len(said) > 1
    assert not session.stopped
    # What was read of the first segment, and what was said again of it, are the whole text.
    assert TEXT.endswith(runner.speech.text.strip())
    assert runner.history.spoken == []


def test_text_after_the_limit_of_frames_is_not_spoken():
    tts, options = debug_tts(**STREAM), frames(9)
    session = tts.open_session(decoding=options)
    for piece in ("  ", TEXT, ". ", " ", "One two.", " \n\n "):
        session.feed(piece)
    session.flush()
    assert len(drain(session)) == 9 * HOP


@pytest.mark.parametrize("live", [False, True], ids=["whole", "live"])
@pytest.mark.parametrize(("most", "stopped"), [(70, False), (1000, True)])
def test_the_limit_of_frames_holds_for_all_segments_together(live, most, stopped):
    tts = stops_after(debug_tts(trained_frames=50), 50)
    options = DecodingOptions(max_frames=most, length_tolerance=None)
    if live:
        with tts.open_session(decoding=options) as session:
            session.feed(3 * "Four two seven one nine. ")
            session.flush()
            num_samples = len(drain(session))
            assert session.stopped == stopped
    else:
        speech = tts.say(3 * "Four two seven one nine. ", options=options)
        num_samples = len(speech.audio)
        assert speech.stopped == stopped
    assert num_samples % (50 * HOP) == 0 if stopped else num_samples == most * HOP


def test_after_a_segment_that_is_cut_short_of_the_limit_of_frames_the_next_one_follows():
    tts = debug_tts(trained_frames=60, min_frames_per_token=1.0)
    text, one = 6 * "Four two seven one nine. ", "Four two seven one nine."
    endless = DecodingOptions(stop_threshold=NEVER, max_frames=1000)
    assert tts.say(text, options=endless).seconds > 2 * tts.say(one, options=endless).seconds


def test_long_text_is_spoken_in_constant_memory():
    """Only the last segments, and audio that has not been taken, are kept."""
    tts = debug_tts(**STREAM, max_position_embeddings=300, max_frames_per_token=9.0)
    tts = stops_after(tts, 50)
    session = tts.open_session(max_ahead_s=0.5)
    runner, decoder = session._runner, tts._engine.decoder
    chapter = 8 * "Four two seven one nine. "
    chunks, num_samples = iter(session), 0
    session.feed(chapter)
    session.flush()
    for chunk in chunks:
        num_samples += len(chunk)
        assert sum(len(one.units) for one in runner.history.spoken) <= PAST_SHARE * 300
        assert len(runner.speech.units) <= 50
        assert decoder._cache.capacity <= 300 + 256
        assert session._queue.num_samples < (0.5 + 1.0) * SAMPLE_RATE
    assert num_samples == 50 * HOP * len(segments_of(session, chapter))


def segments_of(session: Session, text: str) -> list[str]:
    """The segments into which a session divides a text."""
    tokenizer = debug_tokenizer()
    limits = session._options.budget(session._engine.model.config).segment_limits()
    segments = split_segments(text, limits, tokenizer.count)
    return [segment.strip() for segment in segments]


def test_int16_is_the_same_audio():
    tts, options = debug_tts(**STREAM), frames(8)
    floats = say(tts, TEXT, decoding=options)
    with tts.open_session(decoding=options, encoding="int16") as session:
        session.feed(TEXT)
        session.flush()
        integers = np.concatenate(list(session))
    assert integers.dtype == np.int16
    np.testing.assert_allclose(integers / 32767, np.clip(floats, -1, 1), atol=1e-4)


# When it comes.


def test_speech_starts_before_the_text_ends_and_waits_for_more():
    tts, options = debug_tts(**EAGER), frames(30)
    session = tts.open_session(decoding=options)
    session.feed("four two seven one ")
    chunks = iter(session)
    heard = [next(chunks)]
    assert len(heard[0])
    session.feed("nine")
    session.flush()
    assert_same(
        np.concatenate([*heard, *chunks]), whole(tts, "four two seven one nine", 0, options)
    )


@pytest.mark.parametrize(
    ("real_time_factor", "sizes"), [(0.1, [7, 14, 28, 11]), (1.0, 8 * [7] + [4])]
)
def test_the_first_chunk_is_as_small_as_the_codec_allows_and_later_ones_grow_if_time_allows(
    real_time_factor, sizes, monkeypatch
):
    monkeypatch.setattr(Pace, "real_time_factor", real_time_factor)
    session = debug_tts(**STREAM).open_session(decoding=frames(60))
    session.feed(TEXT)
    session.flush()
    found = [len(chunk.units) for chunk in session.chunks()]
    assert found[: len(sizes)] == sizes[: len(found)]
    assert sum(found) == 60


def test_text_is_fed_and_audio_taken_in_different_threads():
    tts, options = debug_tts(**STREAM), frames(40)
    session = tts.open_session(decoding=options)

    def write() -> None:
        for character in TEXT:
            session.feed(character)
            time.sleep(0.001)
        session.flush()

    writer = threading.Thread(target=write)
    writer.start()
    assert_same(drain(session), whole(tts, TEXT, 0, options))
    writer.join()


def test_text_is_fed_and_audio_taken_by_tasks():
    tts, options = debug_tts(**STREAM), frames(40)

    async def write(session: Session) -> None:
        for character in TEXT:
            session.feed(character)
            await asyncio.sleep(0)
        session.flush()

    async def hear(session: Session) -> np.ndarray:
        return np.concatenate([audio async for audio in session])

    async def converse() -> list[np.ndarray]:
        sessions = [tts.open_session(decoding=options, seed=seed) for seed in range(3)]
        heard = await asyncio.gather(*map(hear, sessions), *map(write, sessions))
        return heard[:3]

    for seed, audio in enumerate(asyncio.run(converse())):
        assert_same(audio, whole(tts, TEXT, seed, options))


def test_the_model_pauses_when_nobody_takes_the_audio():
    tts, options = debug_tts(**STREAM), frames(200)
    session = tts.open_session(decoding=options, max_ahead_s=0.2, ramp=ChunkRamp(max_frames=4))
    session.feed(TEXT)
    session.flush()
    wait_until(lambda: any(one.paused for one in tts._engine.decoder.utterances))
    session.snapshot()  # so that the codec is done
    waiting = session._queue.num_samples
    assert 0.2 * SAMPLE_RATE < waiting < 150 * HOP
    time.sleep(0.2)
    assert session._queue.num_samples == waiting
    assert_same(drain(session), whole(tts, TEXT, 0, options))


@pytest.mark.parametrize("limit", ["max_ahead_s", "max_silence_s"])
def test_impossible_limits_are_refused(limit):
    with pytest.raises(ValueError, match=limit):
        debug_tts().open_session(**{limit: -1.0})


def test_all_audio_made_so_far_is_delivered_while_the_model_waits_for_text():
    """Two tokens give a chunk of 8 frames; three give the 7 that the codec waits for, and more."""
    session = debug_tts(stream_n=2, stream_m=12).open_session(decoding=frames(100))
    session.feed("four two seven ")
    chunks, heard = session.chunks(), 0
    while heard < 24:  # two chunks of text, with <s>
        heard += len(next(chunks).units)
    assert heard == 24
    session.cancel()


def test_a_task_whose_wait_is_cancelled_loses_no_audio():
    tts, options = debug_tts(**EAGER), frames(20)

    async def listen() -> list[np.ndarray]:
        heard = []
        async with tts.open_session(decoding=options) as session:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(aiter(session)), 0.05)
            session.feed(TEXT)
            session.flush()
            async for audio in session:
                heard.append(audio)
            assert not session._queue._tasks
        return heard

    assert_same(np.concatenate(asyncio.run(listen())), whole(tts, TEXT, 0, options))


# Snapshots.


@pytest.mark.parametrize(
    "layout", [OFFLINE, EAGER | {"stream_m": 30, "max_position_embeddings": 1024}], ids=LAYOUT_IDS
)
@pytest.mark.parametrize("taken", [0, 1, 3])
def test_a_session_resumed_from_a_snapshot_gives_the_same_audio(layout, taken):
    """Taken after `taken` chunks, before the last text; resumed twice, once pickled."""
    tts, options = debug_tts(**layout), frames(40)
    prompt = debug_prompt("one four", debug_waveform(0.3))
    codes = tts.codec.encode([torch.from_numpy(prompt.audio)])[0]
    session = tts.open_session(
        voice=prompt, decoding=options, ramp=ChunkRamp(max_frames=8), max_ahead_s=0.05
    )
    session.feed("four two seven one ni")
    if not layout:  # offline there is nothing to hear before the text ends
        session.feed("ne")
        session.flush()
    chunks = iter(session)
    heard = [next(chunks) for _ in range(taken)]
    state = session.snapshot()
    del chunks, session
    expected = whole(tts, TEXT, 0, options, ("one four", tts.codec.codes_to_units(codes)))
    for kept in (state, pickle.loads(pickle.dumps(state))):
        resumed = tts.resume_session(kept)
        if layout:
            resumed.feed("ne")
            resumed.flush()
        assert_same(np.concatenate([*heard, drain(resumed)]), expected)


def test_a_pause_in_a_session_and_in_a_whole_text_is_the_same_to_the_sample():
    """However the text is fed, after a snapshot, alone and in a batch."""
    tts, options = debug_tts(**EAGER), DecodingOptions(stop_threshold=1e-9, min_frames=9)
    text = "[pause:50ms]four two. [pause:0.25s] seven <break time='10ms'/>"
    speech = tts.synthesize(["one", text], seeds=[5, 0], options=options, trim_tail=True)[1]
    (first, second, third), end = speech.pauses, len(speech.audio)
    assert [stop - start for start, stop in speech.pauses] == [1200, 6000, 240]
    assert first[0] == 0 and third[1] == end == 7440 + len(speech.units) * HOP
    assert (second[0] - 1200) % HOP == 0 and 1200 < second[0] < second[1] < third[0]
    for start, stop in speech.pauses:
        assert not speech.audio[start:stop].any()
    session = tts.open_session(decoding=options, trim_tail=True)
    for character in text[:30]:
        session.feed(character)
    state = session.snapshot()
    for one in (session, tts.resume_session(state)):
        one.feed(text[30:])
        one.flush()
        assert_same(drain(one), speech.audio)


@pytest.mark.parametrize("name", ["debug", "english"])
def test_more_pauses_than_may_wait_are_said_to_their_end(name):
    """Also within speech by a codec that gives the end of a sound late, as that of english."""
    tts = debug_tts(**EAGER) if name == "debug" else TTS.from_pretrained(name)
    options = DecodingOptions(cfg=1.0, stop_threshold=1e-9, min_frames=9, max_frames=18)
    text = "[pause:10s]" * 8 + "four two. " + "[pause:10s]" * 6 + " seven."
    session = tts.open_session(decoding=options, max_ahead_s=15.0)
    session.feed(text)
    session.flush()
    whole = tts.synthesize([text], options=options)[0]
    assert_same(drain(session), whole.audio)
    rate = tts.codec.sample_rate
    assert [stop - start for start, stop in whole.pauses] == [80 * rate, 60 * rate]


@both_layouts
def test_a_segment_that_is_ended_is_said_before_more_text_comes(layout):
    """It is as if there were a pause of no length; at the end of the text it changes nothing."""
    tts, options = debug_tts(**layout), DecodingOptions(stop_threshold=1e-9, min_frames=9)
    paused = tts.synthesize(["four two[pause:1ms] seven"], options=options)[0]
    ((pause, pause_end),) = paused.pauses
    expected = np.delete(paused.audio, slice(pause, pause_end))
    session = tts.open_session(decoding=options, max_start_delay_s=0.0)
    for piece in ("four t", "wo"):
        session.feed(piece)
    session.end_segment()
    heard: list[np.ndarray] = []
    while sum(map(len, heard)) < pause:
        heard.append(next(iter(session)))
    state = session.snapshot()
    for one in (session, tts.resume_session(state)):
        one.feed(" seven")
        for _ in range(2):
            one.end_segment()
        one.flush()
        assert_same(np.concatenate([*heard, drain(one)]), expected)
    with pytest.raises(ValueError, match="flushed"):
        session.end_segment()


# The end.


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.005)


def wait_for_engine(tts: TTS) -> None:
    """Wait until the threads of an engine have ended."""
    wait_until(lambda: not any(t.name.startswith("sled-") for t in threading.enumerate()))


def test_a_cancelled_session_ends_at_once_and_frees_its_memory():
    tts = debug_tts(**EAGER)
    session = tts.open_session(decoding=frames(200))
    session.feed(TEXT)
    chunks = iter(session)
    next(chunks)
    session.cancel()
    assert list(chunks) == []
    wait_for_engine(tts)
    assert not tts._engine.decoder.utterances
    for refused in (lambda: session.feed("one"), session.snapshot):
        with pytest.raises(ValueError, match="cancelled"):
            refused()
    session.flush()
    session.cancel()


def test_text_that_is_no_text_or_comes_too_late_is_refused():
    session = debug_tts().open_session()
    with pytest.raises(ValueError, match="the text is bytes: decode it first"):
        session.feed(b"four")
    session.flush()
    with pytest.raises(ValueError, match="flushed"):
        session.feed("four")


def test_hundreds_of_sessions_free_their_memory():
    """Half of them are cancelled at random points, others are dropped without being closed."""
    tts, random = debug_tts(**STREAM), np.random.default_rng(0)
    runners = []
    for _ in range(6):
        sessions = [tts.open_session(seed=seed, decoding=frames(9)) for seed in range(50)]
        runners += [weakref.ref(session._runner) for session in sessions]
        for session in sessions:
            session.feed(TEXT[: random.integers(1, len(TEXT))])
        for session in sessions[:25]:
            if random.random() < 0.5:
                time.sleep(random.random() / 1000)
            session.cancel()
        for session in sessions[25:45]:
            session.flush()
            assert len(drain(session)) == 9 * HOP
        del session, sessions
    wait_for_engine(tts)
    gc.collect()
    assert not any(runner() for runner in runners)
    assert not tts._engine.decoder.utterances
    assert tts._engine.decoder._cache.num_bytes == 0


def test_a_session_that_is_dropped_waits_for_no_lock():
    """The collector drops it on any thread, even one that a holder of the lock waits for."""
    tts = debug_tts(**STREAM)
    session = tts.open_session(decoding=frames(9))
    session.feed(TEXT)
    with tts._engine._condition:
        dropping = threading.Thread(target=session.__del__)
        dropping.start()
        dropping.join(timeout=10)
        assert not dropping.is_alive()
    wait_for_engine(tts)


@pytest.mark.parametrize("text", ["", " \n "])
def test_blank_text_is_an_error(text):
    with pytest.raises(ValueError, match="blank"):
        say(debug_tts(**STREAM), text)


def test_an_error_in_one_session_does_not_end_the_others():
    tts, options = debug_tts(**STREAM), frames(10)
    with tts.open_session(decoding=options) as fine:
        fine.feed("four two ")
        with pytest.raises(ValueError, match="too long"):
            say(tts, TEXT, decoding=DecodingOptions(max_length=3))
        fine.feed("seven")
        fine.flush()
        assert_same(drain(fine), whole(tts, "four two seven", 0, options))


def test_an_error_of_the_model_ends_all_sessions_and_later_ones_work(monkeypatch):
    tts, options = debug_tts(**STREAM), frames(10)
    sessions = [tts.open_session(decoding=options) for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(tts.model, "advance", None)
        for session in sessions:
            session.feed(TEXT)
        for session in sessions:
            with pytest.raises(TypeError):
                drain(session)
    assert_same(say(tts, TEXT, decoding=options), whole(tts, TEXT, 0, options))


@both_layouts
def test_an_error_of_the_model_on_one_session_ends_only_that_one(layout):
    """The others give the same audio as without the error, with the same noise."""
    tts, options = debug_tts(**layout), frames(25)
    texts = ["four two seven", "four two nine one", "seven one two"]
    first_ids, bad_ids, last_ids = (set(tts.tokenizer.encode(text)) for text in texts)
    embed_text, poison = tts.model.embed_text, max(bad_ids - first_ids - last_ids)

    def fail_on_poison(token_ids: torch.Tensor) -> torch.Tensor:
        if (token_ids == poison).any():
            raise RuntimeError("poison")
        return embed_text(token_ids)

    tts.model.embed_text = fail_on_poison
    with tts.open_session(decoding=options) as first, tts.open_session(decoding=options) as last:
        first.feed(texts[0][:9])
        last.feed(texts[2][:5])
        with pytest.raises(RuntimeError, match="poison"):
            say(tts, texts[1], decoding=options)
        first.feed(texts[0][9:])
        last.feed(texts[2][5:])
        for session, text in ((first, texts[0]), (last, texts[2])):
            session.flush()
            assert_same(drain(session), whole(tts, text, 0, options))


@both_layouts
@pytest.mark.parametrize("with_voice", [False, True])
def test_a_session_works_with_a_model_whose_units_are_ids(layout, with_voice):
    """The model also takes a speaker vector. Text comes by characters; the session is resumed."""
    model = debug_id_model(**layout, conditions={"speaker": 6}, max_frames_per_token=2.0)
    tts, options = TTS(model, debug_tokenizer(), debug_id_codec()), frames(25)
    prompt = debug_prompt("one four", debug_waveform(0.2), {"speaker": randn(6)})
    voice = tts.make_voice(prompt) if with_voice else None
    if voice is None:
        with pytest.raises(ValueError, match="takes the conditions speaker"):
            say(tts, TEXT, decoding=options)
        return
    request = Request(
        tts.tokenizer.encode(f"one four {TEXT}"), voice.units, conditions=prompt.conditions
    )
    generator = torch.Generator().manual_seed(0)
    expected = generate(model, [request], [generator], options)[0].speech
    with tts.open_session(voice=voice, decoding=options, max_ahead_s=0.05) as session:
        for character in TEXT[:12]:
            session.feed(character)
        state = session.snapshot()
    resumed = tts.resume_session(state)
    resumed.feed(TEXT[12:])
    resumed.flush()
    units = torch.cat([chunk.units for chunk in resumed.chunks()])
    assert units.dtype == torch.long
    assert torch.equal(units, expected)
    # Another speaker's voice is another one.
    other = tts.make_voice(debug_prompt("one four", prompt.audio, {"speaker": -randn(6)}))
    assert not torch.allclose(other.prefill.cached[0].values, voice.prefill.cached[0].values)


def test_a_session_that_cannot_join_the_batch_does_not_disturb_the_others(monkeypatch):
    """Here for lack of memory."""
    tts, options = debug_tts(**STREAM), frames(10)
    snapshot = tts.open_session(decoding=options)
    snapshot.feed(TEXT)
    state = snapshot.snapshot()
    fine = tts.open_session(decoding=options)
    fine.feed("four two ")
    with monkeypatch.context() as patch:
        patch.setattr(KVCache, "write_row", lambda *_: (_ for _ in ()).throw(MemoryError("full")))
        with pytest.raises(MemoryError):
            drain(tts.resume_session(state))
    fine.feed("seven")
    fine.flush()
    assert_same(drain(fine), whole(tts, "four two seven", 0, options))


@pytest.mark.parametrize("taken", [False, True])
def test_a_session_whose_speech_is_complete_can_still_be_saved(taken):
    tts, options = debug_tts(**STREAM), frames(10)
    session = tts.open_session(decoding=options, ramp=ChunkRamp(max_frames=2))
    session.feed(TEXT)
    session.flush()
    chunks = iter(session)
    heard = [next(chunks)] if taken else []
    wait_for_engine(tts)
    resumed = tts.resume_session(session.snapshot())
    assert_same(np.concatenate([*heard, drain(resumed)]), whole(tts, TEXT, 0, options))


def test_an_error_of_the_codec_is_raised_in_its_session(monkeypatch):
    tts = debug_tts(**EAGER)
    session = tts.open_session(decoding=frames(10))
    monkeypatch.setattr(session._audio, "accept", None)
    session.feed(TEXT)
    session.flush()
    with pytest.raises(TypeError):
        drain(session)
    wait_for_engine(tts)


def test_slow_text_delays_the_first_audio_unless_it_is_complete() -> None:
    tts = debug_tts(**EAGER | {"stream_n": 4})

    def first_sound_s(max_start_delay_s: float, *, flush: bool) -> float:
        with tts.open_session(decoding=frames(40), max_start_delay_s=max_start_delay_s) as session:
            session.feed("two ")
            time.sleep(0.5)  # far slower than four tokens for eight frames
            start = time.perf_counter()
            session.feed("one ")
            if flush:
                session.flush()
            next(iter(session))
            return time.perf_counter() - start

    assert first_sound_s(0.8, flush=False) > 0.7
    assert first_sound_s(60.0, flush=True) < 30
    assert first_sound_s(0.0, flush=False) < 30


def first_sound_at_s(session: Session) -> float:
    return next(chunk.ready_at_s for chunk in session.chunks() if len(chunk.audio))


def test_the_load_and_the_delay_are_those_of_recent_speech() -> None:
    tts = debug_tts(**STREAM)
    engine = tts._engine
    assert engine.pace.predict_load(3) == engine.pace.delay_s == 0
    begun_s = time.perf_counter()
    tts.say(TEXT, options=frames(40))
    spoken_s = time.perf_counter() - begun_s
    assert 0 < engine.pace.delay_s < spoken_s
    assert (
        0
        < engine.pace.predict_load(1)
        < engine.pace.predict_load(3)
        <= 3.1 * engine.pace.predict_load(1)
    )


def test_a_busy_engine_does_not_make_text_count_as_slow() -> None:
    tts = debug_tts(**EAGER | {"stream_n": 4})
    with tts.open_session(decoding=frames(40), max_start_delay_s=20.0) as session:
        session.feed("two ")
        tts._engine.submit(session._runner, lambda: time.sleep(1.0))
        start = time.perf_counter()
        session.feed("one ")
        assert first_sound_at_s(session) < start + 15


def test_audio_is_not_delayed_once_there_is_enough_text() -> None:
    tts = debug_tts(stream_n=4, stream_m=16, max_position_embeddings=1024)
    limits = {"max_start_delay_s": 20.0, "max_ahead_s": 1.0}
    with tts.open_session(decoding=frames(600), **limits) as session:
        start = time.perf_counter()
        for text, at_s in {"two ": start - 100.0, "four " * 100: start}.items():
            session._submit(partial(session._text.feed, text, at_s))
        assert first_sound_at_s(session) < start + 15


@pytest.mark.parametrize(("heard", "max_start_delay_s"), [(False, 0.5), (True, 20.0)])
def test_a_resumed_session_delays_only_the_first_audio(
    heard: bool, max_start_delay_s: float
) -> None:
    tts = debug_tts(**EAGER if heard else EAGER | {"stream_n": 4})
    with tts.open_session(decoding=frames(40), max_start_delay_s=max_start_delay_s) as session:
        if heard:
            session.feed("four ")
            chunks, num_frames = session.chunks(), 0
            while num_frames < EAGER["stream_m"]:
                num_frames += len(next(chunks).units)
        snapshot = session.snapshot()
    with tts.resume_session(snapshot) as later:
        later.feed("two ")
        time.sleep(1.0)
        start = time.perf_counter()
        later.feed("one ")
        waited_s = first_sound_at_s(later) - start
    assert waited_s < 15 if heard else waited_s >= 0.5
