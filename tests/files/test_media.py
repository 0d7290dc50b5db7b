"""Recordings in the formats of phones and browsers are read with PyAV; files are made with it."""

import builtins
import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from sled.files.audio import read_audio

RATE = 48_000


def tone(seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype("f4")


def write_media(
    path: Path, codec: str | None, *, video: bool = False, layout: str = "mono"
) -> Path:
    """A file with half a second of a tone, or with pictures, or with both."""
    with av.open(str(path), "w") as container:
        if video:
            pictures = container.add_stream("mpeg4", rate=10)
            pictures.width = pictures.height = 32
        if codec is not None:
            sound = container.add_stream(codec, rate=RATE, layout=layout)
        if video:
            for _ in range(5):
                image = np.zeros((32, 32, 3), np.uint8)
                container.mux(pictures.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
            container.mux(pictures.encode(None))
        if codec is not None:
            samples = np.tile(tone(), (2 if layout == "stereo" else 1, 1))
            frame = av.AudioFrame.from_ndarray(samples, "fltp", layout)
            frame.sample_rate = RATE
            fitted = av.AudioResampler(sound.format, layout, RATE, sound.codec_context.frame_size)
            for one in [*fitted.resample(frame), *fitted.resample(None)]:
                container.mux(sound.encode(one))
            container.mux(sound.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "video", "layout"),
    [
        ("phone.m4a", "aac", False, "mono"),
        ("browser.webm", "libopus", False, "stereo"),
        ("chat.opus", "libopus", False, "mono"),
        ("phone.3gp", "aac", True, "mono"),
        ("video.mp4", "aac", True, "stereo"),
    ],
)
def test_recordings_of_phones_and_browsers_are_read(name, codec, video, layout, tmp_path):
    path = write_media(tmp_path / name, codec, video=video, layout=layout)
    sources = [path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), path.open("rb")]
    waveforms = [read_audio(source, 24_000).numpy() for source in sources]
    for waveform in waveforms[1:]:
        np.testing.assert_array_equal(waveform, waveforms[0])
    # Codecs add some silence around it.
    assert 0.45 < len(waveforms[0]) / 24_000 < 0.65
    middle = waveforms[0][4_000:8_000]
    assert middle.std() == pytest.approx(0.3 / 2**0.5, rel=0.1)
    assert np.abs(np.fft.rfft(middle)).argmax() == pytest.approx(440 * 4_000 / 24_000, abs=1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"Dear diary, today I bought a microphone.\n" * 20, "is it a recording"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://localhost/a.ts\n", "is it a recording"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is it a recording"),
    ],
    ids=["empty", "text", "playlist", "picture"],
)
def test_what_is_no_recording_is_refused_in_one_line(content, message, tmp_path):
    (tmp_path / "voice.m4a").write_bytes(content)
    for source, name in ((tmp_path / "voice.m4a", "voice.m4a"), (content, "the recording")):
        with pytest.raises(ValueError, match=message) as caught:
            read_audio(source, 24_000)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_video_without_sound_is_refused(tmp_path):
    path = write_media(tmp_path / "silent.mp4", None, video=True)
    with pytest.raises(ValueError, match="no sound"):
        read_audio(path, 24_000)


def test_an_open_file_must_be_binary(tmp_path):
    (tmp_path / "voice.txt").write_text("text")
    with (tmp_path / "voice.txt").open() as file, pytest.raises(ValueError, match="binary"):
        read_audio(file, 24_000)


def test_without_pyav_the_usual_formats_are_read_and_others_say_what_to_install(
    tmp_path, monkeypatch
):
    path = write_media(tmp_path / "phone.m4a", "aac")
    soundfile.write(tmp_path / "voice.wav", tone(), RATE)
    original = builtins.__import__

    def without_av(name: str, *args: object) -> object:
        if name == "av":
            raise ImportError(name)
        return original(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_av)
    assert len(read_audio(tmp_path / "voice.wav", RATE)) == RATE // 2
    with pytest.raises(ValueError, match=r"m4a.* need PyAV: run pip install .*media"):
        read_audio(path, RATE)
