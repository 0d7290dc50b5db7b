"""Sessions of a model whose texts are normalised: digits in, the speech of words out."""

import numpy as np
import pytest
import torch

from sled import TTS, DecodingOptions, Prompt
from sled.text import TextTokenizer
from tests.debug import STREAM, debug_codec, debug_model, debug_tokenizer, debug_waveform

OPTIONS = DecodingOptions(cfg=2.0, min_frames=4, max_frames=12)
WRITTEN, SAID = "Mr. 7 of No. 12 paid $5.", "mister seven of number twelve paid five dollars."


@pytest.fixture(scope="module", params=["offline", "stream"])
def voices(request) -> tuple[TTS, TTS]:
    """The same model, with and without normalisation."""
    settings = STREAM if request.param == "stream" else {}
    settings = settings | {"max_frames_per_token": 1.0}  # room for a segment of all text
    plain = debug_tokenizer()
    english = TextTokenizer(plain._tokenizer.model, "english")
    normalizing = debug_model(text_normalization="english", **settings)
    return (
        TTS(normalizing, english, debug_codec()),
        TTS(debug_model(**settings), plain, debug_codec()),
    )


def test_a_text_sounds_like_its_words(voices: tuple[TTS, TTS]) -> None:
    english, plain = voices
    spoken = english.say(WRITTEN, options=OPTIONS, seed=3)
    expected = plain.say(SAID, options=OPTIONS, seed=3)
    torch.testing.assert_close(spoken.latents, expected.latents, rtol=0, atol=1e-5)


def test_however_it_is_fed(voices: tuple[TTS, TTS]) -> None:
    english, _ = voices
    whole = english.say(WRITTEN, options=OPTIONS)
    with english.open_session(options=OPTIONS) as session:
        for character in WRITTEN:
            session.feed(character)
        session.flush()
        audio = np.concatenate(list(session))
    np.testing.assert_allclose(audio, whole.audio, rtol=0, atol=1e-5)


def test_a_prompt_is_normalised_too(voices: tuple[TTS, TTS]) -> None:
    english, plain = voices
    recording = debug_waveform(0.3)
    spoken = english.say("7", prompt=Prompt("No. 4", recording), options=OPTIONS)
    expected = plain.say("seven", prompt=Prompt("number four", recording), options=OPTIONS)
    torch.testing.assert_close(spoken.latents, expected.latents, rtol=0, atol=1e-5)


def test_a_snapshot_remembers_words_that_wait(voices: tuple[TTS, TTS]) -> None:
    english, _ = voices
    with english.open_session(options=OPTIONS) as session:
        session.feed("it cost $5")
        state = session.snapshot()
    with english.resume_session(state) as resumed:
        resumed.feed(" million")
        resumed.flush()
        audio = np.concatenate(list(resumed))
    whole = english.say("it cost $5 million", options=OPTIONS)
    np.testing.assert_allclose(audio, whole.audio, rtol=0, atol=1e-5)


def test_a_model_and_a_tokenizer_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="normalises texts by None.*were by 'english'"):
        TTS(debug_model(text_normalization="english"), debug_tokenizer(), debug_codec())
