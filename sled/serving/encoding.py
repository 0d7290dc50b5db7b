"""Audio as clients take it: a growing stream of samples in, bytes of a format out.

Every format is a stream: bytes come out as soon as the format allows, and nothing that was sent is
changed later. FFmpeg encodes, through PyAV, with settings that were chosen for a short delay:

| format | setting | why |
|---|---|---|
| mp3 | constant rate, no Xing header, no bit reservoir | such a header is written at the end |
| opus | Ogg pages of 20 ms | by default a page is sent after a second |
| flac | blocks of 40 ms | by default they are four times as long |
| wav | header of 44 bytes with open sizes | many clients cut off exactly 44 bytes |

Shapes: S samples, mono, float32 with a full scale of 1.
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import av
import av.audio.resampler
import numpy as np

from sled.serving.filters import Filter, Resampler, Tempo, to_frame, to_pcm16

# Encoders are fed pieces of this length; longer ones would come out in bursts.
PIECE_S = 0.04
# Sizes in the header of a WAV stream whose end is not known.
OPEN_SIZE = 0xFFFFFFFF
WAV_HEADER_BYTES = 44
# The rates of MP3 and AAC, and those of Opus.
MPEG_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)


@dataclass(frozen=True)
class AudioFormat:
    """An audio format.

    Attributes:
        name: As in requests.
        media_type: As in the header `content-type`; "{rate}" stands for the sample rate.
        container: FFmpeg's name of the container. None: bytes are the samples themselves.
        codec: FFmpeg's name of the encoder.
        bit_rate: In bits per second. None: the format has none.
        container_options: For FFmpeg.
        codec_options: For FFmpeg.
        rates: Sample rates that are possible, in Hz. Empty: any.
        default_rate: The sample rate if none is asked for. None: that of the model.
    """

    name: str
    media_type: str
    container: str | None = None
    codec: str = "pcm_s16le"
    bit_rate: int | None = None
    container_options: dict[str, str] = field(default_factory=dict)
    codec_options: dict[str, str] = field(default_factory=dict)
    rates: tuple[int, ...] = ()
    default_rate: int | None = None


_FORMATS = (
    AudioFormat(
        "mp3",
        "audio/mpeg",
        "mp3",
        "libmp3lame",
        64_000,
        {"write_xing": "0", "id3v2_version": "0"},
        {"reservoir": "0"},
        MPEG_RATES,
    ),
    AudioFormat(
        "opus",
        "audio/ogg",
        "ogg",
        "libopus",
        32_000,
        {"page_duration": "20000", "flush_packets": "1"},
        {"frame_duration": "20"},
        OPUS_RATES,
    ),
    AudioFormat("aac", "audio/aac", "adts", "aac", 64_000, rates=MPEG_RATES),
    AudioFormat("flac", "audio/flac", "flac", "flac", None, {}, {"frame_size": "960"}),
    AudioFormat("wav", "audio/wav"),
    AudioFormat("pcm", "audio/pcm;rate={rate};channels=1"),
    AudioFormat("ulaw", "audio/basic", "mulaw", "pcm_mulaw", default_rate=8000),
    AudioFormat("alaw", "audio/x-alaw-basic", "alaw", "pcm_alaw", default_rate=8000),
)
FORMATS = {one.name: one for one in _FORMATS}
FormatName = Literal["mp3", "opus", "aac", "flac", "wav", "pcm", "ulaw", "alaw"]
MIN_RATE, MAX_RATE = 8000, 48000
MIN_SPEED, MAX_SPEED = 0.25, 4.0


class AudioEncoder:
    """Turns samples into bytes of a format, as a stream.

    Args:
        format_name: One of `FORMATS`.
        source_rate: Sample rate of the samples, in Hz.
        sample_rate: Sample rate of the bytes, in Hz. None: as the format prefers.
        speed: Factor by which speech is faster, at the same pitch.
        bit_rate: Bits per second, for mp3, opus and aac. None: as suits speech.

    Attributes:
        format: The format.
        sample_rate: See above.
        media_type: The header `content-type`.
        busy_s: How long it has computed, in seconds.

    Raises:
        ValueError: If the format does not exist, or cannot have this sample rate or speed.
    """

    def __init__(
        self,
        format_name: str,
        source_rate: int,
        sample_rate: int | None = None,
        speed: float = 1.0,
        bit_rate: int | None = None,
    ) -> None:
        self.format = open_format(format_name)
        if bit_rate is not None:
            self.format = replace(self.format, bit_rate=bit_rate)
        self.sample_rate = choose_rate(self.format, source_rate, sample_rate)
        if not MIN_SPEED <= speed <= MAX_SPEED:
            raise ValueError(f"speed={speed}: choose from {MIN_SPEED} to {MAX_SPEED}")
        self.media_type = self.format.media_type.format(rate=self.sample_rate)
        self.busy_s = 0.0
        self._stages: list[Filter] = []
        if speed != 1:
            self._stages.append(Tempo(source_rate, speed))
        if self.sample_rate != source_rate:
            self._stages.append(Resampler(source_rate, self.sample_rate))
        self._piece = round(PIECE_S * source_rate)
        self._writer: _Writer = (
            _RawWriter(self.format, self.sample_rate)
            if self.format.container is None
            else _ContainerWriter(self.format, self.sample_rate)
        )

    def encode(self, audio: np.ndarray) -> bytes:
        """The bytes that samples [S] add to the stream; there may be none yet."""
        begun_s = time.perf_counter()
        pieces = [audio[at : at + self._piece] for at in range(0, len(audio), self._piece)]
        data = b"".join(self._write(piece, 0) for piece in pieces)
        self.busy_s += time.perf_counter() - begun_s
        return data

    def finish(self) -> bytes:
        """The last bytes of the stream."""
        rest = b""
        for place, stage in enumerate(self._stages):
            rest += self._write(stage.finish(), place + 1)
        return rest + self._writer.finish()

    def encode_whole(self, audio: np.ndarray) -> bytes:
        """All bytes of a stream of these samples [S] alone."""
        return self.with_length(self.encode(audio) + self.finish())

    def with_length(self, data: bytes) -> bytes:
        """All bytes of a stream, which a WAV file begins with."""
        if self.format.name != "wav":
            return data
        samples = data[WAV_HEADER_BYTES:]
        return wav_header(self.sample_rate, len(samples) // 2) + samples

    def _write(self, audio: np.ndarray, first_stage: int) -> bytes:
        for stage in self._stages[first_stage:]:
            audio = stage.feed(audio)
        return self._writer.write(audio) if len(audio) else b""


def open_format(name: str) -> AudioFormat:
    """The format of a name.

    Raises:
        ValueError: If there is none.
    """
    if name not in FORMATS:
        raise ValueError(f"format {name!r} is not known: choose one of {', '.join(FORMATS)}")
    return FORMATS[name]


def choose_rate(audio_format: AudioFormat, source_rate: int, asked: int | None) -> int:
    """The sample rate of a stream.

    Args:
        audio_format: Its format.
        source_rate: The sample rate of the speech, in Hz.
        asked: The sample rate that was asked for, in Hz. None: what suits the format.

    Raises:
        ValueError: If the format cannot have the rate that was asked for.
    """
    rates = audio_format.rates
    if asked is None:
        rate = audio_format.default_rate or source_rate
        return rate if not rates or rate in rates else min(rates, key=lambda one: abs(one - rate))
    if not MIN_RATE <= asked <= MAX_RATE:
        raise ValueError(f"sample_rate={asked}: choose from {MIN_RATE} to {MAX_RATE} Hz")
    if rates and asked not in rates:
        known = ", ".join(map(str, rates))
        raise ValueError(f"sample_rate={asked}: {audio_format.name} has {known} Hz")
    return asked


def wav_header(sample_rate: int, num_samples: int | None = None) -> bytes:
    """The 44 bytes before 16-bit mono samples.

    Args:
        sample_rate: In Hz.
        num_samples: None: not known yet; the sizes say so.
    """
    size = OPEN_SIZE if num_samples is None else 2 * num_samples
    riff = OPEN_SIZE if num_samples is None else WAV_HEADER_BYTES - 8 + size
    described = struct.pack("<IHHIIHH", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", riff)
        + b"WAVEfmt "
        + described
        + b"data"
        + struct.pack("<I", size)
    )


# Encoders.


class _Writer:
    """Turns samples into bytes."""

    def write(self, audio: np.ndarray) -> bytes:
        """The bytes that samples [S] add."""
        raise NotImplementedError

    def finish(self) -> bytes:
        """The last bytes."""
        raise NotImplementedError


class _RawWriter(_Writer):
    """16-bit samples, for WAV behind a header."""

    def __init__(self, audio_format: AudioFormat, sample_rate: int) -> None:
        self._header = wav_header(sample_rate) if audio_format.name == "wav" else b""

    def write(self, audio: np.ndarray) -> bytes:
        header, self._header = self._header, b""
        return header + to_pcm16(audio)

    def finish(self) -> bytes:
        return self._header


class _Sink:
    """Receives the bytes of a container. It cannot seek, so nothing is changed afterwards."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data, self._parts = b"".join(self._parts), []
        return data


class _ContainerWriter(_Writer):
    """An encoder of FFmpeg and its container."""

    def __init__(self, audio_format: AudioFormat, sample_rate: int) -> None:
        self._sink = _Sink()
        self._container = av.open(
            self._sink,
            "w",
            format=audio_format.container,
            container_options={"fflags": "+bitexact", **audio_format.container_options},
        )
        stream: Any = self._container.add_stream(
            audio_format.codec, rate=sample_rate, options=dict(audio_format.codec_options)
        )
        self._stream = stream
        self._stream.layout = "mono"
        if audio_format.bit_rate is not None:
            self._stream.bit_rate = audio_format.bit_rate
        self._rate, self._place = sample_rate, 0
        formats = self._stream.codec_context.codec.audio_formats or []
        names = [one.name for one in formats]
        self._format = "fltp" if "fltp" in names else "flt" if "flt" in names else "s16"
        self._stream.codec_context.format = self._format

    def write(self, audio: np.ndarray) -> bytes:
        frame = to_frame(audio, self._format, self._rate, self._place)
        self._place += len(audio)
        self._mux(frame)
        return self._sink.take()

    def finish(self) -> bytes:
        self._mux(None)
        self._container.close()
        return self._sink.take()

    def _mux(self, frame: av.AudioFrame | None) -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
