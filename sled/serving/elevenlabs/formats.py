"""Names of audio formats, such as mp3_44100_128: format, sample rate in Hz, rate in kbit/s."""

from __future__ import annotations

import re

from sled.serving.encoding import AudioEncoder
from sled.serving.errors import ApiError

DEFAULT = "mp3_44100_128"
_NAME = re.compile(r"(mp3|opus|pcm|wav|ulaw|alaw)_(\d{1,6})(?:_(\d{1,4}))?")
_COMPRESSED = ("mp3", "opus")
MIN_KBITS, MAX_KBITS = 16, 192


def open_encoder(name: str, source_rate: int, speed: float = 1.0) -> AudioEncoder:
    """An encoder for a format.

    Args:
        name: The name of the format.
        source_rate: Sample rate of the speech, in Hz.
        speed: Factor by which it is faster.

    Raises:
        ApiError: `format_unsupported`.
    """
    match = _NAME.fullmatch(name)
    if match is None or (match[3] is not None) != (match[1] in _COMPRESSED):
        raise ApiError(
            "format_unsupported",
            f"output_format {name!r} is not known: write for example {DEFAULT} or pcm_24000",
            "output_format",
        )
    kbits = None if match[3] is None else int(match[3])
    if kbits is not None and not MIN_KBITS <= kbits <= MAX_KBITS:
        raise ApiError(
            "format_unsupported",
            f"output_format {name!r}: choose from {MIN_KBITS} to {MAX_KBITS} kbit/s",
            "output_format",
        )
    bit_rate = None if kbits is None else 1000 * kbits
    try:
        return AudioEncoder(match[1], source_rate, int(match[2]), speed, bit_rate)
    except ValueError as error:
        raise ApiError("format_unsupported", str(error), "output_format") from error
