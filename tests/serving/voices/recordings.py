"""Recordings that clients send."""

import io

import av
import numpy as np
import soundfile

RATE = 24_000
WORDS = "one four"


def tone(seconds: float = 0.6) -> np.ndarray:
    """Something loud enough to be taken for speech, [S]."""
    time_s = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * 220 * time_s) * np.hanning(len(time_s))).astype(np.float32)


def as_file(audio: np.ndarray, container: str = "WAV", rate: int = RATE) -> bytes:
    """Samples [S] or [S, channels] as a file."""
    file = io.BytesIO()
    soundfile.write(file, audio, rate, format=container)
    return file.getvalue()


def as_media(audio: np.ndarray, container: str, codec: str) -> bytes:
    """Samples [S] as a file of FFmpeg."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=48_000 if codec == "libopus" else RATE)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(audio[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(stream.format.name, "mono", stream.rate)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return file.getvalue()
