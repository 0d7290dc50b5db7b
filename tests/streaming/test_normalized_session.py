"""Sessions of a model whose texts are normalised: digits in, the speech of words out."""

import numpy as np
import pytest
import torch

from sled import TTS, DecodingOptions
from sled.normalization import normalize
from sled.text.segments import SegmentLimits
from sled.text.tokenizer import TextTokenizer
from tests.debug import (
    STREAM,
    debug_codec,
    debug_model,
    debug_prompt,
    debug_tokenizer,
    debug_waveform,
)

OPTIONS = DecodingOptions(cfg=2.0, min_frames=4, max_frames=12)
WRITTEN = "Mr. 7 of No. 12 paid $5."
NORMALIZATIONS = ["english", "english-phonemes"]


def normalizing_tts(normalization: str, **settings: object) -> TTS:
    tokenizer = TextTokenizer(debug_tokenizer()._tokenizer.model, normalization)
    model = debug_model(text_normalization=normalization, **settings)
    return TTS(model, tokenizer, debug_codec())


@pytest.fixture(scope="module", params=NORMALIZATIONS)
def normalization(request) -> str:
    return request.param


@pytest.fixture(scope="module", params=["offline", "stream"])
def voices(request, normalization: str) -> tuple[TTS, TTS]:
    """The same model, with and without normalisation."""
    settings = STREAM if request.param == "stream" else {}
    # Room for a segment of all text.
    settings = settings | {"max_frames_per_token": 1.0, "max_position_embeddings": 512}
    plain = TTS(debug_model(**settings), debug_tokenizer(), debug_codec())
    return normalizing_tts(normalization, **settings), plain


def test_a_text_sounds_like_its_words(voices: tuple[TTS, TTS], normalization: str) -> None:
    normalizing, plain = voices
    spoken = normalizing.say(WRITTEN, options=OPTIONS, seed=3)
    expected = plain.say(normalize(WRITTEN, normalization), options=OPTIONS, seed=3)
    torch.testing.assert_close(spoken.units, expected.units, rtol=0, atol=1e-5)


def test_a_dialect(voices: tuple[TTS, TTS]) -> None:
    normalizing, plain = voices
    name = normalizing.tokenizer.normalization
    spoken = normalizing.say("101 on 01/02", options=OPTIONS, dialect="british")
    expected = plain.say(normalize("101 on 01/02", name, "british"), options=OPTIONS)
    torch.testing.assert_close(spoken.units, expected.units, rtol=0, atol=1e-5)


def test_however_it_is_fed(voices: tuple[TTS, TTS]) -> None:
    normalizing, _ = voices
    whole = normalizing.say(WRITTEN, options=OPTIONS)
    with normalizing.open_session(decoding=OPTIONS) as session:
        for character in WRITTEN:
            session.feed(character)
        session.flush()
        audio = np.concatenate(list(session))
    np.testing.assert_allclose(audio, whole.audio, rtol=0, atol=1e-5)


def test_a_prompt_is_normalised_too(voices: tuple[TTS, TTS], normalization: str) -> None:
    normalizing, plain = voices
    recording = debug_waveform(0.3)
    spoken = normalizing.say("7", prompt=debug_prompt("No. 4", recording), options=OPTIONS)
    prompt = debug_prompt(normalize("No. 4", normalization), recording)
    expected = plain.say(normalize("7", normalization), prompt=prompt, options=OPTIONS)
    torch.testing.assert_close(spoken.units, expected.units, rtol=0, atol=1e-5)


def test_a_snapshot_remembers_words_that_wait(voices: tuple[TTS, TTS]) -> None:
    normalizing, _ = voices
    with normalizing.open_session(decoding=OPTIONS) as session:
        session.feed("it cost $5")
        state = session.snapshot()
    with normalizing.resume_session(state) as resumed:
        resumed.feed(" million")
        resumed.flush()
        audio = np.concatenate(list(resumed))
    whole = normalizing.say("it cost $5 million", options=OPTIONS)
    np.testing.assert_allclose(audio, whole.audio, rtol=0, atol=1e-5)


def test_text_that_a_cut_segment_has_not_read_is_not_normalised_again(normalization: str) -> None:
    """Phonemes are no English: read as such, they would become others."""
    settings = {"stream_n": 1, "stream_m": 3, "max_position_embeddings": 120}
    tts = normalizing_tts(normalization, **settings)
    limits = SegmentLimits(200, 200)  # far too large
    never_stops = DecodingOptions(stop_threshold=2.0)
    session, said = tts.open_session(decoding=never_stops, limits=limits), []
    runner = session._runner
    begin = runner._begin_segment
    runner._begin_segment = lambda: said.append(runner.speech.text) or begin()
    session.feed(f"{WRITTEN} It waits for No. ")
    chunks = session.chunks()
    while len(said) < 2:  # the first segment has been cut, and what "No." means is not known yet
        next(chunks)
    session.feed("4")
    session.flush()
    for _ in chunks:
        pass
    whole = normalize(f"{WRITTEN} It waits for No. 4", normalization)
    assert whole.startswith(said[1])
    rests = [*said[2:], runner.speech.text]  # some may begin before the 4 is there
    assert all(rest.strip() in whole for rest in rests)
    assert whole.endswith(rests[-1].lstrip())


def test_a_model_and_a_tokenizer_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="normalises texts by None.*were by 'english'"):
        TTS(debug_model(text_normalization="english"), debug_tokenizer(), debug_codec())
