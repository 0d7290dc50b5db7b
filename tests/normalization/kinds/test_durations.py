"""Durations."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("3h 20m, 1h 5m 30s", "three hours twenty minutes, one hour five minutes thirty seconds"),
        ("Prep: 10m, cook: 1m", "prep: ten minutes, cook: one minute"),
        ("Prep 10m | Cooking time: 25 m", "prep ten minutes - cooking time: twenty-five minutes"),
        ("5m ago, 3d ago, 1w ago", "five minutes ago, three days ago, one week ago"),
        ("a 10m call, 20m late", "a ten minute call, twenty minutes late"),
        (
            "bake it for 25-30m, every 5m",
            "bake it for twenty-five to thirty minutes, every five minutes",
        ),
        ("he is 28yo, a 62-y/o man", "he is twenty-eight years old, a sixty-two year old man"),
        ("40s on, 60s off, the 40s", "forty seconds on, sixty seconds off, the forties"),
        ("10m wide, a time of 10m", "ten meters wide, a time of ten meters"),
    ],
)
def test_durations_are_said(written: str, said: str) -> None:
    assert normalize(written, "english").strip() == said
