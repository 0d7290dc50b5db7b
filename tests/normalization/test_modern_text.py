"""Text as it is written today is said as a careful American reader says it."""

import pytest

from sled.normalization import normalize
from tests.normalization.modern_text import Line, has_right_pauses, read_lines, words_of

LINES = read_lines()


def fault_of(line: Line) -> str | None:
    """How a line is said, where that is wrong."""
    said = normalize(line.written, "english")
    readings = [right for right in line.said if words_of(said) == words_of(right)]
    if not readings:
        return f"{line.written!r} is said {said!r}, right is {line.said[0]!r}"
    if not any(has_right_pauses(said, right) for right in readings):
        return f"{line.written!r}: pauses of {said!r}"
    return None


@pytest.mark.parametrize("kind", sorted({line.kind for line in LINES}))
def test_lines_are_said_as_a_reader_says_them(kind: str) -> None:
    asked = [line for line in LINES if line.kind == kind]
    faults = [fault for line in asked if (fault := fault_of(line)) is not None]
    assert not faults, "\n".join(faults)
