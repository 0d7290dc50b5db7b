"""How much of a WAV file is missing."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sled.files.wav_size import missing_seconds

RATE = 8_000
FORMS = {
    "16 bits": {"subtype": "PCM_16"},
    "24 bits": {"subtype": "PCM_24"},
    "floats": {"subtype": "FLOAT"},
    "mu-law": {"subtype": "ULAW"},
    "big endian": {"subtype": "PCM_16", "endian": "BIG"},
    "64-bit sizes": {"subtype": "PCM_16", "format": "RF64"},
    "extensible": {"subtype": "PCM_16", "format": "WAVEX"},
}


def write(path: Path, seconds: float = 1.0, **form: str) -> bytes:
    samples = 0.1 * np.ones((round(RATE * seconds), 2))
    soundfile.write(path, samples, RATE, **{"format": "WAV", **form})
    return path.read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_what_is_cut_off_is_missing(form: str, tmp_path: Path) -> None:
    """libsndfile, the reference, reads the rest without a word."""
    path = tmp_path / "one.wav"
    content = write(path, **FORMS[form])
    assert missing_seconds(path) == 0.0
    for share in (0.5, 0.9):
        path.write_bytes(content[: round(share * len(content))])
        assert missing_seconds(path) == pytest.approx(1 - soundfile.info(path).duration, abs=0.01)
    path.write_bytes(content + b"junk")
    assert missing_seconds(path) == 0.0


def test_other_chunks_may_come_first(tmp_path: Path) -> None:
    """One of odd length is padded."""
    path = tmp_path / "one.wav"
    content = write(path)
    at = content.index(b"data")
    content = content[:at] + b"LIST" + struct.pack("<I", 3) + b"abc\0" + content[at:]
    path.write_bytes(content)
    assert missing_seconds(path) == 0.0
    path.write_bytes(content[: -RATE * 2])
    assert missing_seconds(path) == 0.5


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x80000000])
def test_programs_that_write_to_a_pipe_do_not_tell_the_size(size: int, tmp_path: Path) -> None:
    path = tmp_path / "one.wav"
    content = write(path)
    at = content.index(b"data") + 4
    path.write_bytes(content[:at] + struct.pack("<I", size) + content[at + 4 :])
    assert missing_seconds(path) == 0.0


@pytest.mark.parametrize("length", [0, 3, 10, 12, 18, 30, 43, 44])
def test_a_file_that_ends_in_its_header_or_is_another_one_is_no_error(
    length: int, tmp_path: Path
) -> None:
    path = tmp_path / "one.wav"
    content = write(path, subtype="PCM_16")
    path.write_bytes(content[:length])
    assert missing_seconds(path) == (1.0 if length == 44 else 0.0)
    path.write_bytes(b"fLaC" + content[4:length])
    assert missing_seconds(path) == 0.0
