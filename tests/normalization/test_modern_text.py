"""Text as it is written today is said as a careful American reader says it."""

import pytest

from sled.normalization import normalize
from tests.normalization.modern_text import Line, has_right_pauses, read_lines, words_of

# What is not right yet, and why.
NOT_YET = {
    "F = ma, so a = F/m.": "two letters side by side are taken for a word",
}


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
    asked = [line for line in LINES if line.kind == kind and line.written not in NOT_YET]
    faults = [fault for line in asked if (fault := fault_of(line)) is not None]
    assert not faults, "\n".join(faults)


def test_what_is_marked_as_not_right_yet_is_not() -> None:
    marked = {line.written: fault_of(line) for line in LINES if line.written in NOT_YET}
    assert marked.keys() == NOT_YET.keys()
    assert [written for written, fault in marked.items() if fault is None] == []
