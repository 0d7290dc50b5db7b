"""Directions and roads."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("E 42nd St, W. 29th Pl.", "east forty-second street, west twenty-ninth place."),
        ("E Pine St and W Main Street", "east pine street and west main street"),
        ("5 mi N on US-101, I-95 N", "five miles north on u s one oh one, i ninety-five north"),
        ("41° N, 74.0° W", "forty-one degrees north, seventy-four point zero degrees west"),
        ("4500 W. 29th Pl.", "forty-five hundred west twenty-ninth place."),
        ("100 N of force, 60 W bulb", "one hundred newtons of force, sixty watt bulb"),
        ("Exhibit E Main hall", "exhibit e main hall"),
    ],
)
def test_directions_are_said(written, said):
    assert normalize(written, "english") == said
