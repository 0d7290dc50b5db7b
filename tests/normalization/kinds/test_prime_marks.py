"""Numbers with a single prime mark: feet, or minutes of football."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("a 10' ladder, 8' and 10′ boards", "a ten foot ladder, eight feet and ten foot boards"),
        ("He's 6', it is 1' off", "he's six feet, it is one foot off"),
        ("Kane 23', 67' (pen.)", "kane twenty-three, sixty-seven (penalty)"),
        ("scored in the 12' and 33'", "scored in the twelve and thirty-three"),
        ("'chapter 12' of 'the '90s'", "'chapter twelve' of 'the 'nineties'"),
    ],
)
def test_prime_marks_are_said(written: str, said: str) -> None:
    assert normalize(written, "english").strip() == said
