"""Verses of the Bible."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Ps. 23:1-6", "psalm twenty-three one to six"),
        (
            "1 Cor. 13:4, 2 Tim 3:16",
            "first corinthians thirteen four, second timothy three sixteen",
        ),
        ("Matthew 5:3 and John 3:16", "matthew five three and john three sixteen"),
        ("Gen 1:1-2:3", "genesis one one to two three"),
        ("in 1 Corinthians", "in first corinthians"),
        # no verses
        ("Meet John at 3:16.", "meet john at three sixteen."),
        ("Mark scored 2:1", "mark scored two to one"),
        ("Matt. 5–7, Qur'an 2:255", "matthew five to seven, qur'an two two hundred fifty-five"),
    ],
)
def test_verses_are_said(written: str, said: str) -> None:
    assert normalize(written, "english").strip() == said
