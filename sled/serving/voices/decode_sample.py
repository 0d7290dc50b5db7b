"""Decodes an uploaded recording; runs as a process of its own, with little memory and time.

Reads the file from the standard input. Writes a line of JSON, `{"rate": ..., "channels": ...}`, and
the samples [S, channels], float32. An error is one line on the standard error, and status 1; the
status is `TOO_LONG` for a recording that is too long.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from io import BytesIO

MAX_MEMORY_BYTES = 1 << 30
MAX_CPU_S = 10
TOO_LONG = 3


def limit_process() -> None:
    """Limit memory and time, and let the process write no files."""
    try:
        import resource
    except ImportError:  # Windows has no such limits; the caller's time limit remains
        return
    limits = {
        resource.RLIMIT_AS: MAX_MEMORY_BYTES,
        resource.RLIMIT_CPU: MAX_CPU_S,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for what, limit in limits.items():
        with suppress(ValueError, OSError):  # where a stricter one is in force, or none exists
            resource.setrlimit(what, (limit, limit))


def main(max_s: float) -> int:
    """Decode the standard input.

    Args:
        max_s: The longest recording, in seconds.

    Returns:
        The exit status.
    """
    import numpy as np

    from sled.files.media import TooLongError, decode_media

    try:
        samples, rate = decode_media(BytesIO(sys.stdin.buffer.read()), "the recording", max_s)
    except (ValueError, MemoryError) as error:
        print(error or "the recording needs too much memory", file=sys.stderr)
        return TOO_LONG if isinstance(error, TooLongError) else 1
    header = json.dumps({"rate": rate, "channels": samples.shape[1]})
    sys.stdout.buffer.write(header.encode() + b"\n")
    sys.stdout.buffer.write(np.ascontiguousarray(samples, dtype="<f4").tobytes())
    return 0


if __name__ == "__main__":
    limit_process()
    sys.exit(main(float(sys.argv[1])))
