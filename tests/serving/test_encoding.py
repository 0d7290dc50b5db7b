"""Audio as bytes: what was encoded can be decoded again, at once and whole."""

import io

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sled.serving.encoding import FORMATS, AudioEncoder, wav_header

RATE = 24_000
COMPRESSED = ["mp3", "opus", "aac", "flac"]
# Encoders may add up to a few of their own frames of silence.
PADDING_S = 0.1


def voice_like(seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    envelope = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * t)
    return (0.3 * envelope * np.sin(2 * np.pi * 220 * t)).astype(np.float32)


def encoded(name: str, audio: np.ndarray, piece: int = 1600, **settings_: object) -> bytes:
    encoder = AudioEncoder(name, RATE, **settings_)
    pieces = [audio[at : at + piece] for at in range(0, len(audio), piece)]
    return b"".join([*map(encoder.encode, pieces), encoder.finish()])


def decoded(name: str, data: bytes, rate: int = RATE) -> np.ndarray:
    """The samples [S] that FFmpeg hears."""
    raw = {"pcm": "s16le", "ulaw": "mulaw", "alaw": "alaw"}
    options = {"sample_rate": str(rate)} if name in raw else {}
    with av.open(io.BytesIO(data), format=raw.get(name), options=options) as container:
        resampler = av.AudioResampler("flt", "mono", rate)
        parts = [*container.decode(audio=0), None]
        frames = [frame for part in parts for frame in resampler.resample(part)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_decoded_lasts_as_long_as_what_was_encoded(name: str) -> None:
    audio = voice_like(1.5)
    rate = FORMATS[name].default_rate or RATE
    heard = decoded(name, encoded(name, audio), rate)
    assert 0 <= len(heard) / rate - 1.5 <= PADDING_S


@pytest.mark.parametrize("name", ["wav", "pcm", "flac"])
def test_lossless_formats_keep_the_samples(name: str) -> None:
    audio = voice_like(0.5)
    heard = decoded(name, encoded(name, audio))
    np.testing.assert_allclose(heard, audio, atol=1 / 32768)


@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed_formats_keep_the_sound(name: str) -> None:
    audio = voice_like(1.0)
    heard = decoded(name, encoded(name, audio))
    correlation = np.correlate(heard, audio[2000:12_000], "valid").max()
    assert correlation > 0.95 * float((audio[2000:12_000] ** 2).sum())


@pytest.mark.parametrize("name", FORMATS)
@given(piece=st.integers(100, 5000))
@settings(max_examples=3)
def test_bytes_do_not_depend_on_the_pieces(name: str, piece: int) -> None:
    audio = voice_like(0.4)
    assert encoded(name, audio, piece) == encoded(name, audio, len(audio))


@pytest.mark.parametrize(
    ("name", "most_s"),
    [("wav", 0.04), ("pcm", 0.04), ("flac", 0.04), ("opus", 0.08), ("mp3", 0.08), ("aac", 0.12)],
)
def test_first_bytes_come_after_so_much_audio(name: str, most_s: float) -> None:
    encoder, seconds = AudioEncoder(name, RATE), 0.0
    while not encoder.encode(voice_like(0.04)):
        seconds += 0.04
    assert seconds + 0.04 <= most_s + 1e-9


@pytest.mark.parametrize("speed", [0.25, 0.7, 1.5, 4.0])
def test_speed_changes_the_duration(speed: float) -> None:
    heard = decoded("wav", encoded("wav", voice_like(2.0), speed=speed))
    assert abs(len(heard) / RATE - 2.0 / speed) < 0.01 * 2.0 / speed + 0.02


def test_speed_keeps_the_pitch() -> None:
    heard = decoded("wav", encoded("wav", voice_like(2.0), speed=1.5))
    spectrum = np.abs(np.fft.rfft(heard))
    assert abs(spectrum.argmax() * RATE / len(heard) - 220) < 8


@pytest.mark.parametrize("rate", [8000, 16_000, 48_000])
def test_other_sample_rates(rate: int) -> None:
    heard = decoded("wav", encoded("wav", voice_like(1.0), sample_rate=rate), rate)
    assert abs(len(heard) - rate) <= 2


def test_a_known_length_makes_an_ordinary_wav_file() -> None:
    data = encoded("wav", voice_like(0.1))
    samples = data[44:]
    assert data[:44] == wav_header(RATE)
    read, rate = soundfile.read(io.BytesIO(wav_header(RATE, len(samples) // 2) + samples))
    assert (len(read), rate) == (2400, RATE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_name": "midi"}, "midi"),
        ({"format_name": "opus", "sample_rate": 44_100}, "opus has"),
        ({"format_name": "aac", "sample_rate": 10_000}, "aac has"),
        ({"format_name": "wav", "sample_rate": 4000}, "8000 to 48000"),
        ({"format_name": "wav", "speed": 5.0}, "0.25 to 4"),
        ({"format_name": "wav", "speed": float("nan")}, "0.25 to 4"),
    ],
)
def test_impossible_settings(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AudioEncoder(**({"source_rate": RATE} | changes))
