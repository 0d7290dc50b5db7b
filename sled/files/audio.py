"""Reads and writes audio files. Audio in memory is mono float32 at a known sample rate."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from sled.files.channels import mix_channels

logger = logging.getLogger(__name__)

# A recording with a peak under -60 dBFS is useless for training and cloning.
SILENCE_PEAK = 1e-3


def read_audio(path: str | os.PathLike[str], sample_rate: int) -> Tensor:
    """Read an audio file as mono at the given rate.

    Args:
        path: A file in any format that libsndfile reads, of any sample rate and channel count.
        sample_rate: The sample rate to return, in Hz. Files with another rate are resampled.

    Returns:
        Waveform [S], float32.

    Raises:
        ValueError: The file is missing, unreadable, empty or silent.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no audio file at {path}: check the path")
    try:
        samples, file_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise ValueError(
            f"cannot read {path} as audio ({error}): convert it to WAV, FLAC, Ogg or MP3"
        ) from error
    mono = mix_channels(samples.T)
    check_audible(mono, str(path))
    if file_rate != sample_rate:
        mono = soxr.resample(mono, file_rate, sample_rate)
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


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check that an audio file can be written, before the work of making it.

    Raises:
        ValueError: The suffix is unknown, or the folder does not exist or is not writable.
    """
    path = Path(path)
    if not soundfile.check_format(path.suffix.lstrip(".").upper()):
        raise ValueError(f"{path}: unknown audio format {path.suffix!r}: use .wav, .flac or .ogg")
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
