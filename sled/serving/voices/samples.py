"""Recordings that clients send.

They are decoded by another process, so that a harmful file can neither stop the server nor fill its
memory.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sled.serving.errors import ApiError
from sled.serving.voices.decode_sample import TOO_LONG

MAX_SAMPLE_BYTES = 10 << 20
MAX_SAMPLE_S = 60.0
# The decoder's process is ended after this time.
DECODE_S = 20.0
_ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, eq=False)
class Sample:
    """A recording.

    Attributes:
        audio: [S, channels] float32.
        sample_rate: In Hz.
        digest: SHA-256 of the file that was sent, in hexadecimal.
    """

    audio: np.ndarray
    sample_rate: int
    digest: str


def decode_sample(data: bytes, param: str) -> Sample:
    """Decode a recording; takes some hundred milliseconds.

    Args:
        data: A file, in any usual format.
        param: The field that holds it.

    Raises:
        ApiError: `body_too_large`, `prompt_too_long`, or `format_unsupported`.
    """
    if len(data) > MAX_SAMPLE_BYTES:
        raise ApiError(
            "body_too_large", f"{param} is larger than {MAX_SAMPLE_BYTES >> 20} MiB", param
        )
    # One thread: each would ask for address space, which is limited.
    environment = {
        "PYTHONPATH": str(_ROOT),
        "OPENBLAS_NUM_THREADS": "1",
        "PATH": os.environ.get("PATH", ""),
    }
    command = [sys.executable, "-m", "sled.serving.voices.decode_sample", str(MAX_SAMPLE_S)]
    try:
        done = subprocess.run(
            command, input=data, capture_output=True, timeout=DECODE_S, env=environment
        )
    except subprocess.TimeoutExpired:
        raise ApiError(
            "format_unsupported", f"{param} takes too long to decode: convert it to WAV", param
        ) from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        known = done.returncode in (1, TOO_LONG) and lines
        reason = lines[-1] if known else "it needs too much time or memory: convert it to WAV"
        code = "prompt_too_long" if done.returncode == TOO_LONG else "format_unsupported"
        raise ApiError(code, f"{param}: {reason}", param)
    header, _, samples = done.stdout.partition(b"\n")
    described = json.loads(header)
    audio = np.frombuffer(samples, "<f4").reshape(-1, described["channels"])
    return Sample(audio, described["rate"], hashlib.sha256(data).hexdigest())


def decode_base64(text: str, param: str) -> bytes:
    """The bytes of a field that holds base64, or a data URL with it.

    Raises:
        ApiError: `invalid_value`; other URLs are not fetched.
    """
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not head.endswith(";base64"):
            raise ApiError("invalid_value", f"{param}: a data URL must hold base64", param)
    elif "://" in text[:16]:
        raise ApiError(
            "invalid_value", f"{param}: addresses are not fetched: send base64 or a data URL", param
        )
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError("invalid_value", f"{param} is not base64: {error}", param) from error
