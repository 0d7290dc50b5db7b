"""Reads and writes audio files. Audio in memory is mono float32 at a known sample rate."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from sled.files.channels import mix_channels
from sled.files.media import decode_media

logger = logging.getLogger(__name__)

# A recording with a peak under -60 dBFS is useless for training and cloning.
SILENCE_PEAK = 1e-3
# More than this is not sound of one place, but samples with the wrong axis.
MAX_CHANNELS = 8
# Floats far above full scale are not scaled to it.
MAX_FLOAT = 1.5

AudioSource = str | os.PathLike[str] | bytes | bytearray | BinaryIO
"""A path, the bytes of a file, or a file open for reading in binary mode."""


def read_audio(source: AudioSource, sample_rate: int) -> Tensor:
    """Read a recording as mono at the given rate.

    Args:
        source: A path, the bytes of a file, or a file open for reading in binary mode. WAV, FLAC,
            Ogg and MP3 are read by libsndfile; m4a, webm, mp4 and others need the extra `media`.
        sample_rate: The sample rate to return, in Hz. Recordings with another one are resampled.

    Returns:
        Waveform [S], float32.

    Raises:
        ValueError: The recording is missing, unreadable, empty or silent.
    """
    name, file = _open(source)
    with file:
        if not file.read(1):
            raise ValueError(f"{name} is empty: there is no audio in it; record it again")
        file.seek(0)
        try:
            samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, OSError):
            file.seek(0)
            samples, rate = decode_media(file, name)
    return _to_mono(samples, rate, sample_rate, name)


def _open(source: AudioSource) -> tuple[str, BinaryIO]:
    """What messages call a source, and its content."""
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if not path.is_file():
            raise ValueError(f"no audio file at {path}: check the path")
        try:
            return str(path), path.open("rb")
        except OSError as error:
            raise ValueError(f"cannot read {path} ({error.strerror}): check the path") from error
    if not isinstance(source, bytes | bytearray) and not hasattr(source, "read"):
        raise ValueError(
            f"a recording cannot be of type {type(source).__name__}: give a path, the bytes of a "
            "file, or samples"
        )
    content = source if isinstance(source, bytes | bytearray) else source.read()
    if not isinstance(content, bytes | bytearray):
        raise ValueError("the recording is open as text: open it in binary mode ('rb')")
    return "the recording", BytesIO(content)


def read_samples(
    samples: np.ndarray | Tensor, sample_rate: int, wanted_rate: int, name: str
) -> Tensor:
    """A recording in memory as mono at the given rate.

    Args:
        samples: [S], [S, channels] or [channels, S]; integers have the full scale of their type,
            floats a full scale of 1.
        sample_rate: Their rate in Hz.
        wanted_rate: The rate to return, in Hz.
        name: What messages call it.

    Returns:
        Waveform [S], float32.

    Raises:
        ValueError: They are not samples, empty or silent.
    """
    array = samples.detach().cpu() if isinstance(samples, Tensor) else samples
    array = np.asarray(array.float() if isinstance(array, Tensor) and _is_half(array) else array)
    if array.ndim == 1:
        array = array[:, None]
    elif array.ndim == 2 and array.shape[0] < array.shape[1]:
        array = array.T
    if array.ndim != 2 or (array.size and not 1 <= array.shape[1] <= MAX_CHANNELS):
        raise ValueError(
            f"{name} must be mono, [samples], or have up to {MAX_CHANNELS} channels, "
            f"[samples, channels]; got {list(np.shape(samples))}"
        )
    return _to_mono(_to_float(array, name), sample_rate, wanted_rate, name)


def _is_half(samples: Tensor) -> bool:
    """Whether NumPy lacks the type, or has little precision for it."""
    return samples.dtype in (torch.bfloat16, torch.float16)


def _to_float(samples: np.ndarray, name: str) -> np.ndarray:
    """Samples as float32 with a full scale of 1."""
    kind = samples.dtype
    if np.issubdtype(kind, np.floating):
        return samples.astype(np.float32)
    if np.issubdtype(kind, np.integer) and kind.itemsize <= 4:
        full_scale = 2.0 ** (8 * kind.itemsize - 1)
        offset = full_scale if np.issubdtype(kind, np.unsignedinteger) else 0.0
        scaled: np.ndarray = ((samples.astype(np.float64) - offset) / full_scale).astype(np.float32)
        return scaled
    raise ValueError(
        f"{name} has samples of type {kind}, whose full scale is not known: give floats within "
        "-1 and 1, or int16 samples"
    )


def _to_mono(samples: np.ndarray, rate: int, wanted_rate: int, name: str) -> Tensor:
    """Mix the channels of samples [S, channels], check them, and resample them."""
    mono = mix_channels(samples.T)
    check_audible(mono, name)
    if rate != wanted_rate:
        mono = soxr.resample(mono, rate, wanted_rate)
    return torch.from_numpy(np.ascontiguousarray(mono, dtype=np.float32))


def check_audible(waveform: np.ndarray, name: str) -> None:
    """Check that a waveform [S] can be used for training or cloning.

    Raises:
        ValueError: The waveform is empty, silent or not finite; the message contains the name.
    """
    if len(waveform) == 0:
        raise ValueError(f"{name} holds no audio: record it again")
    if not np.isfinite(waveform).all():
        raise ValueError(f"{name} holds samples that are not finite: export it again")
    if np.abs(waveform).max() < SILENCE_PEAK:
        raise ValueError(f"{name} is silent (peak under {SILENCE_PEAK:g}): record it louder")


def check_full_scale(waveform: np.ndarray, name: str) -> None:
    """Check that a waveform [S] of floats has a full scale of 1, not that of integers.

    Raises:
        ValueError: It is far above full scale; the message contains the name.
    """
    if np.abs(waveform).max(initial=0.0) > MAX_FLOAT:
        raise ValueError(f"{name} is above full scale: divide its samples by their full scale")


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check that an audio file can be written, before the work of making it.

    Raises:
        ValueError: The suffix is unknown, or the folder does not exist or is not writable.
    """
    path = Path(path)
    if not soundfile.check_format(path.suffix.lstrip(".").upper()):
        raise ValueError(f"{path}: unknown audio format {path.suffix!r}: use .wav, .flac or .ogg")
    check_folder(path)


def check_folder(path: Path) -> None:
    """Check that there can be a file at a path.

    Raises:
        ValueError: It is a folder, or its folder does not exist or is not writable.
    """
    if path.is_dir():
        raise ValueError(f"cannot write {path}: it is a folder; name a file in it")
    if not path.parent.is_dir():
        raise ValueError(f"cannot write {path}: no folder {path.parent}: create it first")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"cannot write {path}: no permission to write to {path.parent}")


def write_audio(
    path: str | os.PathLike[str], waveform: Tensor | np.ndarray, sample_rate: int
) -> None:
    """Write a mono waveform; the suffix of the file name determines the format.

    A waveform louder than full scale is scaled down as a whole, never clipped. The file appears
    under its name only when it is complete.

    Args:
        path: The file to write, with a suffix such as .wav, .flac or .ogg; its folder must exist.
        waveform: Samples [S], full scale at 1.0.
        sample_rate: In Hz.

    Raises:
        ValueError: The suffix is unknown, the folder does not exist, or the waveform is not a
            finite mono signal.
        OSError: The file cannot be written.
    """
    samples = torch.as_tensor(waveform).detach().float().cpu().numpy()
    peak = float(np.abs(samples).max(initial=0.0))
    with AudioWriter(path, sample_rate) as file:
        if 1.0 < peak < np.inf:
            logger.info("%s: peak %.2f is above full scale, scaled down to fit", path, peak)
            samples = samples / peak
        file.write(samples)


class AudioWriter:
    """Writes an audio file piece by piece; a context manager.

    The file appears under its name only at the end: when it is complete, or incomplete when the
    program is interrupted from the keyboard. After any other exception there is no file.

    Args:
        path: The file to write, with a suffix such as .wav, .flac or .ogg; its folder must exist.
        sample_rate: In Hz.

    Raises:
        ValueError: The suffix is unknown, or the folder does not exist or is not writable.
        OSError: The file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], sample_rate: int) -> None:
        self._path, self._sample_rate = Path(path), sample_rate
        check_writable(self._path)
        self._partial = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        self._num_samples = 0

    def __enter__(self) -> "AudioWriter":
        with self._with_remedy():
            self._file = soundfile.SoundFile(
                self._partial,
                "w",
                self._sample_rate,
                channels=1,
                format=self._path.suffix.lstrip(".").upper(),
            )
        return self

    def write(self, waveform: np.ndarray) -> None:
        """Append samples [S], full scale at 1.0; louder ones are clipped.

        Raises:
            ValueError: The waveform is not a finite mono signal.
            OSError: The file cannot be written.
        """
        if waveform.ndim != 1 or not np.isfinite(waveform).all():
            raise ValueError(
                f"cannot write {self._path}: not a finite mono signal, shape {waveform.shape}"
            )
        with self._with_remedy():
            self._file.write(np.clip(waveform, -1.0, 1.0))
        self._num_samples += len(waveform)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        try:
            with self._with_remedy():
                self._file.close()
                if kind is None or (interrupted and self._num_samples):
                    os.replace(self._partial, self._path)
        finally:
            self._partial.unlink(missing_ok=True)
        if interrupted and self._num_samples:
            seconds = self._num_samples / self._sample_rate
            logger.warning("%s: interrupted, the first %.2f s are kept", self._path, seconds)

    @contextmanager
    def _with_remedy(self) -> Iterator[None]:
        try:
            yield
        except (OSError, soundfile.LibsndfileError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OSError(
                f"cannot write {self._path}: {reason}: choose another output path"
            ) from error
