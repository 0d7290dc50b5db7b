"""The segment runner turns text events into the units of one utterance after the other."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from sled.decoding import Decoder, DecodingOptions, Request, Utterance, generate
from sled.streaming import segment_runner
from sled.streaming.audio_queue import AudioQueue, Chunk
from sled.streaming.audio_stage import AudioStage, Silence, UnitChunk
from sled.streaming.options import SessionOptions
from sled.streaming.segment_runner import SegmentRunner
from sled.streaming.text_stage import TextEvent
from sled.streaming.voice import Prompt
from sled.text.segments import SegmentLimits
from sled.tts import TTS
from tests.debug import STREAM, debug_codec, debug_model, debug_tokenizer, debug_waveform
from tests.ids import debug_id_codec, debug_id_model

FRAMES = DecodingOptions(stop_threshold=2.0, max_frames=12)


class Engine:
    """Runs the decoder in this thread, and keeps what the runner hands over."""

    def __init__(self, model, codec) -> None:
        self.model, self.codec = model, codec
        self.pace = SimpleNamespace(real_time_factor=0.0)
        self.decoder = Decoder(model)
        self.consumers: dict[Utterance, SegmentRunner] = {}
        self.chunks: list[UnitChunk] = []
        self.stages: list[AudioStage] = []  # of the chunks

    def expect_frames(self, consumer: SegmentRunner, utterance: Utterance) -> None:
        self.consumers[utterance] = consumer

    def break_off(self, utterance: Utterance) -> None:
        self.decoder.leave(utterance)

    def decode_audio(self, consumer: SegmentRunner, stage: AudioStage, chunk: UnitChunk) -> None:
        self.chunks.append(chunk)
        self.stages.append(stage)

    def submit(self, consumer: SegmentRunner, command: Callable[[], None]) -> bool:
        command()
        return True

    def run(self, steps: int = 1000) -> None:
        """Decode until nothing is ready."""
        for _ in range(steps):
            step = self.decoder.step()
            if step is None:
                return
            for one, unit, *end in zip(
                step.utterances, step.units, step.stopped, step.exhausted, strict=True
            ):
                self.consumers[one].on_frame(unit, *end)

    @property
    def units(self) -> Tensor:
        return torch.cat([chunk.units for chunk in self.chunks])


def runner_for(
    engine: Engine, queue: AudioQueue | None = None, **settings: object
) -> tuple[SegmentRunner, AudioStage]:
    queue = queue or AudioQueue()
    options = SessionOptions(**({"decoding": FRAMES, "seed": 3} | settings))
    stage = AudioStage(engine.codec, queue, lambda: None)
    runner = SegmentRunner(engine, debug_tokenizer(), options, stage, queue, lambda: None)
    return runner, stage


def send(runner: SegmentRunner, *pieces: str) -> None:
    for piece in pieces:
        runner.receive(TextEvent(piece, 0.0))


@pytest.mark.parametrize("units", ["vectors", "ids"])
@pytest.mark.parametrize("pieces", [["four two seven"], ["fo", "ur ", "two sev", "en"]])
def test_text_in_any_pieces_gives_the_units_of_the_whole(units, pieces):
    model = (debug_model if units == "vectors" else debug_id_model)(**STREAM)
    engine = Engine(model, debug_codec() if units == "vectors" else debug_id_codec())
    runner, _ = runner_for(engine)
    for piece in pieces:
        send(runner, piece)
        engine.run()
    runner.receive(TextEvent("", 0.0, True, True))
    engine.run()
    request = Request(debug_tokenizer().encode("four two seven"))
    (expected,) = generate(model, [request], [torch.Generator().manual_seed(3)], FRAMES)
    torch.testing.assert_close(engine.units, expected.units, rtol=0, atol=1e-5)
    assert [chunk.last for chunk in engine.chunks] == [False] * (len(engine.chunks) - 1) + [True]
    assert not engine.decoder.utterances


def test_a_pause_waits_until_audio_has_been_taken():
    """It takes no time to make, so that its audio could fill the memory."""
    engine, queue = Engine(debug_model(**STREAM), debug_codec()), AudioQueue()
    runner, _ = runner_for(engine, queue, max_ahead_s=1.0)
    for _ in range(2):
        queue.put(Chunk(np.zeros(24_000, np.float32), torch.empty(0, 32)))
    for _ in range(3):
        runner.receive(TextEvent("", 0.0, ends_segment=True, pause_s=10.0))
    assert not engine.chunks and len(runner.segments) == 4
    queue.take()
    assert not engine.chunks
    queue.take()
    assert [chunk.pause_s for chunk in engine.chunks] == [10.0] * 3


def test_a_segment_continues_the_one_before_and_blank_ones_are_skipped():
    engine = Engine(debug_model(**STREAM), debug_codec())
    options = DecodingOptions(stop_threshold=1e-9, min_frames=9)
    runner, _ = runner_for(engine, decoding=options)
    send(runner, "four two ")
    runner.receive(TextEvent("", 0.0, ends_segment=True))
    send(runner, " ")
    runner.receive(TextEvent("", 0.0, ends_segment=True))
    send(runner, "seven")
    runner.receive(TextEvent("", 0.0, True, True))
    engine.run()
    assert runner.segment_number == 2 and runner.num_taken == 3
    assert [chunk.segment for chunk in engine.chunks][-1] == 2
    assert runner.stopped
    first, second = runner.history.spoken
    assert (first.text, second.text) == ("four two ", "seven")
    request = Request(debug_tokenizer().encode("four two seven"), first.units, prompt_tokens=3 + 1)
    generator = torch.Generator().manual_seed(3)
    torch.randn(len(first.units) + 1, 8, generator=generator)
    assert len(second.units) == 9
    assert request.prompt is not None


def test_a_pause_comes_after_its_segment_also_if_that_is_blank():
    engine = Engine(debug_model(**STREAM), debug_codec())
    runner, _ = runner_for(engine, decoding=DecodingOptions(stop_threshold=1e-9, min_frames=9))
    runner.receive(TextEvent("", 0.0, ends_segment=True, pause_s=0.1))
    runner.receive(TextEvent("four", 0.0, ends_segment=True, pause_s=0.2))
    runner.receive(TextEvent(" ", 0.0, ends_segment=True, pause_s=0.3))
    runner.receive(TextEvent("two", 0.0, True, True))
    engine.run()
    frames = 0
    pauses = []
    for chunk in engine.chunks:
        frames += len(chunk.units)
        if chunk.pause_s:
            pauses.append((frames, chunk.pause_s))
    assert pauses == [(0, 0.1), (9, 0.2), (9, 0.3)] and frames == 18


@pytest.mark.parametrize("num_frames", [1, 3, 4, 5, 8])
def test_what_the_model_has_not_read_of_a_segment_that_is_cut_is_said_next(num_frames):
    """At the end of a chunk of speech, the next tokens are due but have not been read."""
    engine = Engine(debug_model(**STREAM), debug_codec())
    token_ids = debug_tokenizer().encode("four two seven one nine four")
    options = DecodingOptions(stop_threshold=2.0, max_length=len(token_ids) + num_frames)
    runner, _ = runner_for(engine, decoding=options)
    send(runner, "four two seven one nine four")
    runner.receive(TextEvent("", 0.0, True, True))
    engine.run(steps=num_frames)
    num_read = 3 * (1 + (num_frames - 1) // 4)
    assert runner.speech.text == debug_tokenizer().decode(token_ids[num_read:])


def test_the_transcript_of_a_voice_is_never_said():
    """It is longer than the layout reads along with the recording, and speech is cut before."""
    tts = TTS(debug_model(**STREAM), debug_tokenizer(), debug_codec())
    prompt = Prompt(2 * "four two seven one ", debug_waveform(0.04), as_recorded=True)
    voice = tts.make_voice(prompt)
    options = DecodingOptions(stop_threshold=2.0, max_length=voice.num_positions + 9)
    with tts.open_session(voice=voice, decoding=options, limits=SegmentLimits(9, 9)) as session:
        session.feed("seven two")
        session.flush()
        with pytest.raises(ValueError, match="before any of its text was read"):
            list(session)


def test_a_segment_that_leaves_the_next_one_too_few_positions_is_not_continued():
    tts = TTS(debug_model(), debug_tokenizer(), debug_codec())  # 256 positions
    options = DecodingOptions(stop_threshold=1e-9, min_frames=240)
    with tts.open_session(decoding=options) as session:
        session.feed("four two.")
        session.end_segment()
        session.feed("seven.")
        session.flush()
        assert sum(len(chunk.units) for chunk in session.chunks()) == 480
        assert session.stopped


def test_a_segment_that_has_fallen_silent_is_cut_if_all_its_text_is_read():
    engine = Engine(debug_model(**STREAM), debug_codec())
    endless = DecodingOptions(stop_threshold=2.0, length_tolerance=None)
    runner, stage = runner_for(engine, decoding=endless, max_silence_s=0.5)
    send(runner, "four two seven one nine four")
    stage.silence = Silence(1, 0.6)
    engine.run(steps=8)
    assert engine.decoder.utterances  # text may follow
    runner.receive(TextEvent("", 0.0, True, True))
    engine.run(steps=60)
    assert not engine.decoder.utterances
    assert engine.chunks[-1].last and not runner.stopped


def test_the_decoder_pauses_while_too_much_audio_waits():
    engine, queue = Engine(debug_model(**STREAM), debug_codec()), AudioQueue()
    endless = DecodingOptions(stop_threshold=2.0, length_tolerance=None)
    runner, _ = runner_for(engine, queue, decoding=endless, max_ahead_s=0.01)
    send(runner, "four")
    runner.receive(TextEvent("", 0.0, True, True))
    queue.put(Chunk(torch.zeros(480).numpy(), torch.zeros(1, 32)))
    engine.run()
    written = runner.num_frames
    assert 0 < written < 20
    queue.take()
    engine.run(steps=30)
    assert runner.num_frames > written


def test_a_saved_runner_goes_on_as_it_would_have():
    model = debug_model(**STREAM)
    whole = Engine(model, debug_codec())
    runner, _ = runner_for(whole)
    send(runner, "four two seven one")
    whole.run(steps=5)
    state, before = runner.save(), len(whole.units) if whole.chunks else 0
    runner.receive(TextEvent("", 0.0, True, True))
    whole.run()
    for _ in range(2):
        engine = Engine(model, debug_codec())
        resumed, _ = runner_for(engine)
        resumed.restore(state)
        resumed.receive(TextEvent("", 0.0, True, True))
        engine.run()
        torch.testing.assert_close(engine.units, whole.units[before:], rtol=0, atol=1e-5)


def chunk_sizes(monkeypatch, heard_s: float, others: int) -> list[int]:
    """Frames per chunk, if the listener has so much to play at first and others speak, too."""
    engine, now_s = Engine(debug_model(), debug_codec()), [0.0]
    engine.pace.real_time_factor = 0.5
    monkeypatch.setattr(segment_runner.time, "perf_counter", lambda: now_s[0])
    decoding = DecodingOptions(stop_threshold=2.0, max_frames=60)
    runners = [runner_for(engine, decoding=decoding, max_lead_s=9.0) for _ in range(1 + others)]
    for runner, _ in runners:
        runner.receive(TextEvent("four two seven one nine", 0.0, True, True))
    stage, own = runners[0][1], []
    stage.listener.take(round(heard_s * engine.codec.sample_rate), 0.0)
    while engine.decoder.utterances:
        engine.run(1)
        now_s[0] += engine.pace.real_time_factor / engine.codec.frame_rate
        own = [
            len(chunk.units)
            for chunk, to in zip(engine.chunks, engine.stages, strict=True)
            if to is stage
        ]
        stage.num_frames = sum(own)  # the codec takes no time
    return own


def test_a_chunk_is_handed_over_early_if_its_listener_would_wait(monkeypatch):
    """Only if others speak: alone, chunks are made for the speed of the machine."""
    alone = chunk_sizes(monkeypatch, 0.12, others=0)
    assert chunk_sizes(monkeypatch, 5.0, others=1) == alone
    late = chunk_sizes(monkeypatch, 0.12, others=1)
    assert sum(late) == sum(alone) == 60
    assert max(late) < max(alone) and late.count(segment_runner.LEAST_FRAMES) > 10
