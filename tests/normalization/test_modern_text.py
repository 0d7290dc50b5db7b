"""Text as it is written today is said as a careful American reader says it."""

import pytest

from sled.normalization import normalize
from tests.normalization.modern_text import Line, has_right_pauses, read_lines, words_of

# What is not right yet, and why.
NOT_YET = {
    "F = ma, so a = F/m.": "two letters side by side are taken for a word",
}


def _cases() -> list[object]:
    return [
        pytest.param(
            line,
            id=f"{line.kind}-{index}",
            marks=[pytest.mark.xfail(reason=NOT_YET[line.written], strict=True)]
            if line.written in NOT_YET
            else [],
        )
        for index, line in enumerate(read_lines(), 1)
    ]


@pytest.mark.parametrize("line", _cases())
def test_a_line_is_said_as_a_reader_says_it(line: Line) -> None:
    said = normalize(line.written, "english")
    readings = [right for right in line.said if words_of(said) == words_of(right)]
    assert readings, f"{line.written!r} is said {said!r}, right is {line.said[0]!r}"
    assert any(has_right_pauses(said, right) for right in readings), f"pauses of {said!r}"


def test_what_is_marked_as_not_right_yet_is_in_the_file() -> None:
    assert NOT_YET.keys() <= {line.written for line in read_lines()}
