"""What happens to samples before they are encoded: another sample rate, another speed.

Shapes: S samples, mono, float32 with a full scale of 1.
"""

from __future__ import annotations

import av
import numpy as np
import soxr
from av.filter import Graph

from sled.streaming.session import to_int16

# A filter of FFmpeg changes the speed by at most this factor; several are put in a row.
MAX_TEMPO_STEP = 2.0


def to_pcm16(audio: np.ndarray) -> bytes:
    """Samples [S] as 16-bit integers, little-endian."""
    return to_int16(audio).astype("<i2").tobytes()


class Filter:
    """A stage that changes samples."""

    def feed(self, audio: np.ndarray) -> np.ndarray:
        """Samples [S'] that can be returned after samples [S]."""
        raise NotImplementedError

    def finish(self) -> np.ndarray:
        """The last samples [S']."""
        raise NotImplementedError


class Resampler(Filter):
    """Changes the sample rate. The delay of its filter is left out."""

    def __init__(self, source_rate: int, sample_rate: int) -> None:
        self._stream = soxr.ResampleStream(source_rate, sample_rate, 1, dtype="float32")

    def feed(self, audio: np.ndarray) -> np.ndarray:
        """Samples [S'] that can be returned after samples [S]."""
        return np.asarray(self._stream.resample_chunk(audio))

    def finish(self) -> np.ndarray:
        """The last samples [S']."""
        return np.asarray(self._stream.resample_chunk(np.zeros(0, np.float32), last=True))


class Tempo(Filter):
    """Makes speech faster or slower at the same pitch (overlap-add of similar waveforms)."""

    def __init__(self, sample_rate: int, speed: float) -> None:
        graph = Graph()
        node = graph.add_abuffer(
            sample_rate=sample_rate, format="fltp", layout="mono", time_base=None
        )
        self._input = node
        for factor in _factors(speed):
            tempo = graph.add("atempo", f"{factor:.6f}")
            node.link_to(tempo)
            node = tempo
        sink = graph.add("abuffersink")
        node.link_to(sink)
        graph.configure()
        self._graph, self._sink, self._rate, self._place = graph, sink, sample_rate, 0

    def feed(self, audio: np.ndarray) -> np.ndarray:
        """Samples [S'] that can be returned after samples [S]."""
        frame = to_frame(audio, "fltp", self._rate, self._place)
        self._place += len(audio)
        self._input.push(frame)
        return self._pull()

    def finish(self) -> np.ndarray:
        """The last samples [S']."""
        self._input.push(None)
        return self._pull()

    def _pull(self) -> np.ndarray:
        parts = []
        while True:
            try:
                frame = self._sink.pull()
                assert isinstance(frame, av.AudioFrame)
                parts.append(frame.to_ndarray()[0])
            except (av.BlockingIOError, av.EOFError):
                break
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _factors(speed: float) -> list[float]:
    """Factors of at most `MAX_TEMPO_STEP`, in either direction, whose product is the speed."""
    factors = []
    while speed > MAX_TEMPO_STEP:
        factors.append(MAX_TEMPO_STEP)
        speed /= MAX_TEMPO_STEP
    while speed < 1 / MAX_TEMPO_STEP:
        factors.append(1 / MAX_TEMPO_STEP)
        speed *= MAX_TEMPO_STEP
    return [*factors, speed]


def to_frame(audio: np.ndarray, sample_format: str, rate: int, place: int) -> av.AudioFrame:
    """Samples [S] as a frame of FFmpeg.

    Args:
        audio: The samples.
        sample_format: FFmpeg's name of the format.
        rate: Their sample rate, in Hz.
        place: Samples before them.
    """
    samples = audio.astype(np.float32)[None]
    if sample_format == "s16":
        samples = np.frombuffer(to_pcm16(audio), "<i2")[None]
    frame = av.AudioFrame.from_ndarray(samples, format=sample_format, layout="mono")
    frame.sample_rate, frame.pts = rate, place
    return frame
