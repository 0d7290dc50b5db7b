"""Reads the sound of files that libsndfile does not read, such as m4a, webm and mp4, with PyAV."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from sled.files.extras import install_command

# Containers that hold sound. Others are not tried: some, such as playlists, make FFmpeg open
# further files and addresses.
CONTAINERS = (
    "aac,ac3,aiff,amr,asf,avi,caf,eac3,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,w64,wav,webm"
)


class TooLongError(ValueError):
    """A recording is longer than is allowed."""


def decode_media(file: BinaryIO, name: str, max_s: float | None = None) -> tuple[np.ndarray, int]:
    """Decode the first track of sound in a file.

    Args:
        file: The file, open for reading.
        name: What messages call it.
        max_s: The longest recording, in seconds. None: any length.

    Returns:
        Samples [S, channels] float32, full scale at 1, and their rate in Hz.

    Raises:
        ValueError: If PyAV is not installed, or the file holds no sound that it can decode.
        TooLongError: If it is too long.
    """
    try:
        import av
    except ImportError as error:
        raise ValueError(
            f"{name} is not WAV, FLAC, Ogg or MP3. Other formats, such as m4a, webm and mp4, need "
            f"PyAV: run {install_command('media')}; or convert it"
        ) from error
    pieces: list[np.ndarray] = []
    num_samples = 0
    try:
        with av.open(file, options={"format_whitelist": CONTAINERS}) as container:
            if not container.streams.audio:
                raise ValueError(f"{name} holds no sound, only pictures: record it with sound")
            track = container.streams.audio[0]
            resampler = av.AudioResampler(format="fltp", layout=track.layout, rate=track.rate)
            for frame in container.decode(track):
                pieces += [one.to_ndarray() for one in resampler.resample(frame)]
                num_samples += frame.samples
                if max_s is not None and num_samples > max_s * frame.sample_rate:
                    raise TooLongError(f"{name} is longer than {max_s:g} s: cut it")
            pieces += [one.to_ndarray() for one in resampler.resample(None)]
            rate = track.rate
    except av.error.FFmpegError as error:
        if not pieces:
            raise ValueError(
                f"cannot read {name} as audio ({error.strerror}): is it a recording? If so, "
                "convert it to WAV, FLAC, Ogg or MP3"
            ) from error
        rate = track.rate  # it was cut off: what came before is kept
    if not pieces:
        raise ValueError(f"{name} holds no audio: record it again")
    return np.concatenate(pieces, axis=1).T, rate
