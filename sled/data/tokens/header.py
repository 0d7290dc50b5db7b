"""What training asks of the audio file of an utterance.

Headers are read where a corpus is prepared, extracted and packed, so that nothing goes through all
of these and is refused only in the end.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import soundfile

# Recordings with a lower rate lack frequencies that models are to learn.
MIN_SAMPLE_RATE = 16_000


def read_header(audio: Path | bytes) -> tuple[int, int]:
    """Read the sample rate in Hz and the number of samples of an audio file, or of its bytes.

    Raises:
        ValueError: If training cannot read it, it is empty, or its rate is too low.
    """
    try:
        with BytesIO(audio) if isinstance(audio, bytes) else audio.open("rb") as file:
            info = soundfile.info(file)
    except (soundfile.LibsndfileError, OSError, TypeError, AttributeError) as error:
        raise ValueError("its audio cannot be read as WAV, FLAC, Ogg or MP3") from error
    if not info.frames:
        raise ValueError("its audio is empty")
    check_rate(int(info.samplerate))
    return int(info.samplerate), int(info.frames)


def check_rate(sample_rate: int) -> None:
    """Check the sample rate of a recording.

    Raises:
        ValueError: If it is too low.
    """
    if sample_rate < MIN_SAMPLE_RATE:
        raise ValueError(f"its audio has {sample_rate} Hz, under {MIN_SAMPLE_RATE}")
