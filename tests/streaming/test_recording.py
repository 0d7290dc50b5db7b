"""A recording is continued at the level of the training data, however it was given."""

import io

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sled.files.speech_level import SpeechLevel, measure_speech
from sled.model.config import Architecture, Config, Speaking
from sled.streaming.recording import check_transcript, level_of, read_recording
from sled.text.tokenizer import TextTokenizer
from tests.debug import debug_tokenizer

RATE = 24_000
LEVEL = SpeechLevel(-25.0, 0.1, 0.15)


def voice(seconds: float = 1.0) -> np.ndarray:
    """Noise in syllables, four a second, with a peak of 1."""
    times = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(0).normal(size=len(times)) * np.sin(4 * np.pi * times) ** 2
    return (noise / np.abs(noise).max()).astype(np.float32)


def read(audio: object, sample_rate: int | None = None) -> np.ndarray:
    return read_recording(audio, sample_rate, RATE, LEVEL).numpy()


def as_wav(samples: np.ndarray, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


@given(peak=st.floats(0.02, 1.5), offset=st.floats(-0.5, 0.5))
@settings(max_examples=30, deadline=None)
def test_level_and_offset_do_not_matter(peak, offset):
    expected = read(voice())
    assert measure_speech(expected, RATE).level_db == pytest.approx(-25.0, abs=0.1)
    np.testing.assert_allclose(read(peak * voice() + offset), expected, atol=2e-6)


def test_silence_around_it_does_not_matter():
    silence = np.zeros(RATE, np.float32)
    expected = read(voice())
    np.testing.assert_allclose(
        read(np.concatenate([silence, voice(), silence])), expected, atol=1e-4
    )


@pytest.mark.parametrize(
    ("form", "error"),
    [
        (lambda a: a.astype(np.float64), 1e-6),
        (lambda a: a.astype(np.float16), 1e-3),
        (lambda a: torch.from_numpy(a).bfloat16(), 1e-2),
        (lambda a: a.tolist(), 1e-6),
        (lambda a: (a * 32767).astype(np.int16), 1e-4),
        (lambda a: (a * (2**31 - 1)).astype(np.int32), 1e-5),
        (lambda a: (a * 127 + 128).astype(np.uint8), 1e-2),
        (lambda a: (a * 32767).astype(np.float32), 1e-5),  # integers, converted without a scale
        (lambda a: np.stack([a, a], 1), 1e-6),
        (lambda a: np.stack([a, a]), 1e-6),
        (lambda a: np.stack([a, -a], 1), 1e-6),  # one channel is inverted
        (lambda a: np.stack([a, 0 * a], 1), 1e-6),
        (as_wav, 1e-6),
        (lambda a: io.BytesIO(as_wav(a)), 1e-6),
    ],
)
def test_every_form_of_the_same_sound_is_the_same(form, error):
    np.testing.assert_allclose(read(form(voice())), read(voice()), atol=error)


def test_samples_may_have_another_rate():
    times = np.arange(48_000) / 48_000
    swell = np.sin(np.pi * times) * np.sin(2 * np.pi * 200 * times)
    np.testing.assert_allclose(read(swell, 48_000), read(swell[::2]), atol=1e-3)
    with pytest.raises(ValueError, match="knows its sample rate"):
        read(as_wav(voice()), 48_000)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(RATE), "silent"),
        (np.full(RATE, 0.4), "too short"),  # nothing but an offset
        (voice()[3000:4000], "0.0[0-9] s of speech, which is too short"),
        (np.full(RATE, np.nan), "not finite"),
        (np.zeros((9, 9, 9)), "mono"),
        (np.zeros((RATE, 12)), "mono"),
        (np.ones(RATE, np.int64), "full scale is not known"),
        (np.ones(RATE, bool), "full scale is not known"),
        (np.array(["a"]), "full scale is not known"),
        (None, "cannot be of type NoneType"),
    ],
)
def test_what_is_no_recording_of_speech_is_refused(audio, message):
    with pytest.raises(ValueError, match=message):
        read(audio)


def test_as_recorded_nothing_is_changed():
    samples = np.pad(0.3 * voice() + 0.1, 500)
    read_as_is = read_recording(samples, None, RATE, None)
    np.testing.assert_array_equal(read_as_is.numpy(), samples)
    with pytest.raises(ValueError, match="above full scale"):
        read_recording(samples * 100, None, RATE, None)


def test_the_checkpoint_says_the_level():
    assert level_of(Speaking(speech_level_db=-18.0, lead_s=0.3, tail_s=0.0)) == SpeechLevel(
        -18.0, 0.3, 0.0
    )
    assert level_of(Speaking()).level_db == -25.0


TOLD = Speaking(min_frames_per_token=4.0, max_frames_per_token=8.0)


@pytest.mark.parametrize("speaking", [TOLD, Speaking()], ids=["measured", "unknown"])
@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("one two three four five six", True),
        ("one two three four", True),
        ("a", False),
        ("one two three four five six " * 10, False),
    ],
)
def test_a_transcript_must_be_possible_in_the_time(speaking, text, fits):
    config = Config(Architecture(), speaking=speaking)
    arguments = (text.strip(), torch.from_numpy(voice(2.0)), RATE, debug_tokenizer(), config)
    if fits:
        check_transcript(*arguments)
    else:
        with pytest.raises(ValueError, match=r"does not fit .* takes .* s, and .* lasts 2\.\d s"):
            check_transcript(*arguments)


def test_the_tokens_of_a_transcript_are_those_of_its_phonemes():
    """Phonemes are no text: normalised once more, they would be spelled, and take longer."""
    words = "two three one six eight"
    tokenizer = TextTokenizer.train([words] * 20, 300, 2, "english-phonemes")
    speech = torch.from_numpy(voice(2.0))
    frames = round(2.0 * Architecture().frame_rate) / len(tokenizer.encode(words))
    speaking = Speaking(min_frames_per_token=frames, max_frames_per_token=frames)
    check_transcript(words, speech, RATE, tokenizer, Config(Architecture(), speaking=speaking))
