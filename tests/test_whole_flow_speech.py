"""Speech by a flow that sees whole utterances: each segment is solved alone, as soon as it ends."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from sled import TTS
from sled.codec.token_codec.model import PROMPT_MEL, PROMPT_TOKENS, SPEAKER, TokenCodec
from sled.model.tokens.cosyvoice import CosyVoiceLM
from sled.streaming.voice import Voice
from tests.codec.token_codec.models import token_networks
from tests.debug import randn
from tests.tokens import debug_cosyvoice, debug_token_tokenizer, with_random_weights

SEGMENTS = ("four two seven. ", "one nine. ", "two two one")


@cache
def codec() -> TokenCodec:
    return TokenCodec(replace(token_networks("flow_v1"), speakers={"ann": randn(16, seed=1)}))


def whole_tts() -> TTS:
    sizes = replace(
        debug_cosyvoice().sizes, speech_token_size=60, spk_embed_dim=16, frame_rate=50.0
    )
    model = with_random_weights(CosyVoiceLM(sizes), 3)
    model.config.speaking.max_frames_per_token = 4.0  # otherwise it speaks for long
    return TTS(model, debug_token_tokenizer(model), codec())


def recorded_voice(tts: TTS) -> Voice:
    """A voice with a recording, as if a speech tokenizer had read it."""
    units = torch.randint(60, (21,), generator=torch.Generator().manual_seed(5))
    conditions = {SPEAKER: randn(16), PROMPT_TOKENS: units, PROMPT_MEL: randn(80, 37)}
    steps = Voice.prepare(
        "one two",
        units,
        model=tts.model,
        tokenizer=tts.tokenizer,
        codec=tts.codec,
        conditions=conditions,
    )
    return tts.engine.run(steps)


def decode(segments: list[Tensor], voice: Voice) -> np.ndarray:
    """The speech of segments, one after the other."""
    batch = {name: one[None] for name, one in voice.conditions.items()}
    stream, pieces = codec().stream_decoder(1, batch), []
    for units in segments:
        pieces += [stream.decode(units[None]), stream.end_segment()]
    return torch.cat((*pieces, stream.finish()), 1)[0].numpy()


def relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


@pytest.mark.parametrize("kind", ["speaker", "recording"])
def test_each_segment_of_a_session_is_solved_alone(kind: str) -> None:
    tts = whole_tts()
    voice = recorded_voice(tts) if kind == "recording" else tts.make_voice("ann")
    with tts.open_session(voice=voice, seed=1, max_start_delay_s=0.0) as session:
        for text in SEGMENTS:
            session.feed(text)
            session.end_segment()
        session.flush()
        chunks = list(session.chunks())
    segments = [chunk.units for chunk in chunks if len(chunk.units)]
    assert len(segments) == len(SEGMENTS)  # the codec gets one after the other
    assert sum(len(chunk.audio) > 0 for chunk in chunks) > 1
    audio = np.concatenate([chunk.audio for chunk in chunks])
    assert len(audio) == sum(map(len, segments)) * codec().hop_length
    assert relative_error(audio, decode(segments, voice)) < 1e-5
    apart = decode([torch.cat(segments)], voice)  # one utterance sounds otherwise
    assert relative_error(audio, apart) > 1e-3


def test_a_session_goes_on_between_two_segments() -> None:
    tts = whole_tts()
    voice = recorded_voice(tts)
    with tts.open_session(voice=voice, seed=1, max_start_delay_s=0.0) as session:
        session.feed(SEGMENTS[0])
        session.end_segment()
        first = next(iter(session))  # it is heard before more text comes
        state = session.snapshot()
        session.feed(SEGMENTS[1])
        session.flush()
        rest = np.concatenate(list(session))
    assert len(first) > 0
    with tts.resume_session(state) as again:
        again.feed(SEGMENTS[1])
        again.flush()
        assert relative_error(np.concatenate(list(again)), rest) < 1e-5


def test_pauses_are_where_their_segments_end() -> None:
    tts = whole_tts()
    voice = tts.make_voice("ann")
    texts = ("four two seven", "one nine")
    with tts.open_session(voice=voice, seed=1, max_start_delay_s=0.0) as session:
        session.feed('four two seven <break time="0.5s"/> one nine')
        session.flush()
        chunks = list(session.chunks())
    segments = [chunk.units for chunk in chunks if len(chunk.units)]
    assert len(segments) == len(texts)
    before, pause = len(segments[0]) * codec().hop_length, codec().sample_rate // 2
    audio = np.concatenate([chunk.audio for chunk in chunks])
    assert not audio[before : before + pause].any()
    spoken = np.delete(audio, slice(before, before + pause))
    assert relative_error(spoken, decode(segments, voice)) < 1e-5
