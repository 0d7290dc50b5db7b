"""The audio stage: units in any chunks become the audio of the whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sled.streaming.audio_queue import AudioQueue
from sled.streaming.audio_stage import AudioStage, UnitChunk, decode_together
from tests.debug import HOP, debug_codec, randn
from tests.ids import NUM_IDS, debug_id_codec

UNITS = randn(20, 32)


def feed(stage: AudioStage, codec, *chunks: UnitChunk) -> None:
    """Decode and deliver a chunk, as the codec thread does."""
    for chunk in chunks:
        stage.accept(decode_together(codec, [stage], [chunk.units], last=chunk.last)[0], chunk)


def heard(queue: AudioQueue) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *(one.audio for one in queue.waiting())])


@given(st.lists(st.integers(0, len(UNITS)), max_size=5).map(sorted))
def test_any_chunks_give_the_audio_of_the_whole_and_then_the_end(cuts):
    queue, ends = AudioQueue(), []
    stage = AudioStage(debug_codec(), queue, lambda: ends.append(True))
    pieces = list(torch.tensor_split(UNITS, cuts))
    chunks = [UnitChunk(one, 1, number == len(cuts)) for number, one in enumerate(pieces)]
    feed(stage, debug_codec(), *chunks[:-1])
    assert not ends and not queue.closed
    feed(stage, debug_codec(), chunks[-1])
    assert ends == [True] and queue.complete
    np.testing.assert_allclose(heard(queue), debug_codec().decode(UNITS[None])[0], atol=1e-5)
    assert torch.equal(torch.cat([one.units for one in queue.waiting()]), UNITS)


@given(st.lists(st.integers(0, len(UNITS)), max_size=5).map(sorted), st.booleans())
def test_pauses_are_silence_of_just_that_length_at_just_that_place(places, in_many_chunks):
    """Also where the codec holds back samples, as it does at the beginning."""
    queue = AudioQueue()
    stage = AudioStage(debug_codec(), queue, lambda: None)
    chunks = [
        UnitChunk(piece, number, pause_s=(number + 1) / 1000)
        for number, piece in enumerate(torch.tensor_split(UNITS, places)[:-1])
    ]
    if in_many_chunks:
        chunks = [
            part
            for chunk in chunks
            for part in (replace(chunk, pause_s=0.0), replace(chunk, units=chunk.units[:0]))
        ]
    last = UnitChunk(torch.tensor_split(UNITS, places)[-1], len(places), last=True)
    feed(stage, debug_codec(), *chunks, last)
    whole = debug_codec().decode(UNITS[None])[0].numpy()
    expected, start = [], 0
    for number, place in enumerate(places):
        expected += [whole[start : place * HOP], np.zeros(24 * (number + 1))]
        start = place * HOP
    np.testing.assert_allclose(heard(queue), np.concatenate([*expected, whole[start:]]), atol=1e-5)
    spoken = [one for one in queue.waiting() if not one.is_pause]
    assert torch.equal(torch.cat([one.units for one in spoken]), UNITS)
    assert sum(len(one.audio) for one in spoken) == len(whole)


def test_a_pause_is_not_trimmed_nor_counted_as_silence_of_its_segment():
    codec, queue = debug_id_codec(), AudioQueue()
    codec.table[0] = 0.0
    stage = AudioStage(codec, queue, lambda: None, trim_tail=True)
    loud, silent = torch.full((75,), 3), torch.zeros(75, dtype=torch.long)
    feed(stage, codec, UnitChunk(torch.cat((loud, silent)), 1, pause_s=2.0))
    assert stage.silence.seconds == pytest.approx(75 * HOP / codec.sample_rate, abs=0.02)
    feed(stage, codec, UnitChunk(silent[:0], 1, last=True))
    assert len(heard(queue)) == 150 * HOP + 2 * codec.sample_rate


def test_a_text_of_a_pause_alone_is_that_silence():
    queue = AudioQueue()
    stage = AudioStage(debug_codec(), queue, lambda: None)
    feed(stage, debug_codec(), UnitChunk(UNITS[:0], 0, pause_s=0.5))
    feed(stage, debug_codec(), UnitChunk(UNITS[:0], 0, last=True))
    assert queue.complete and np.array_equal(heard(queue), np.zeros(12000))


def test_ids_are_decoded_as_vectors_are():
    queue, codec = AudioQueue(), debug_id_codec()
    stage = AudioStage(codec, queue, lambda: None)
    ids = torch.arange(NUM_IDS)
    feed(stage, codec, UnitChunk(ids[:5], 1), UnitChunk(ids[5:], 1, last=True))
    assert torch.equal(torch.from_numpy(heard(queue)), codec.decode(ids[None])[0])
    assert queue.waiting()[0].units.dtype == torch.long


def test_silence_is_counted_for_each_segment():
    codec = debug_id_codec()
    codec.table[0] = 0.0
    stage = AudioStage(codec, AudioQueue(), lambda: None)
    loud, silent = torch.full((75,), 3), torch.zeros(75, dtype=torch.long)
    feed(stage, codec, UnitChunk(loud, 1), UnitChunk(silent, 1))
    assert stage.silence.segment == 1
    assert stage.silence.seconds == pytest.approx(75 * HOP / codec.sample_rate, abs=0.02)
    feed(stage, codec, UnitChunk(silent[:15], 2))
    assert stage.silence.segment == 2
    assert stage.silence.seconds == pytest.approx(15 * HOP / codec.sample_rate, abs=0.02)


def test_only_the_chunk_that_makes_the_first_sound_is_held():
    queue = AudioQueue()
    stage = AudioStage(debug_codec(), queue, lambda: None)
    feed(stage, debug_codec(), UnitChunk(UNITS[:2], 1, start_delay_s=1000.0))  # no sound yet
    assert queue.take() is not None
    feed(stage, debug_codec(), UnitChunk(UNITS[2:12], 1, start_delay_s=1000.0))
    assert not queue._is_ready()
    queue.release()
    assert queue.take() is not None


def test_values_that_are_not_finite_are_refused():
    stage = AudioStage(debug_codec(), AudioQueue(), lambda: None)
    with pytest.raises(ValueError, match="not finite"):
        feed(stage, debug_codec(), UnitChunk(UNITS * torch.nan, 1, last=True))


@pytest.mark.parametrize("cut", [0, 3, 12])
def test_a_saved_stage_goes_on_as_it_would_have(cut):
    queue = AudioQueue()
    stage = AudioStage(debug_codec(), queue, lambda: None, trim_tail=True)
    feed(stage, debug_codec(), UnitChunk(UNITS[:cut], 1, pause_s=0.01))
    state = stage.save()
    feed(stage, debug_codec(), UnitChunk(UNITS[cut:], 1, last=True))
    for _ in range(2):
        resumed = AudioQueue()
        other = AudioStage(debug_codec(), resumed, lambda: None, trim_tail=True)
        other.restore(state)
        feed(other, debug_codec(), UnitChunk(UNITS[cut:], 1, last=True))
        np.testing.assert_array_equal(heard(resumed), heard(queue))
