"""Times of day, and ratios."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("at 7:30 or 7:05", "at seven thirty or seven oh five"),
        ("at 7:00, 14:00", "at seven o'clock, fourteen hundred"),
        ("19:05, 00:15", "nineteen oh five, zero fifteen"),
        ("7.30pm, 7:30 PM, 3pm", "seven thirty p m, seven thirty p m, three p m"),
        ("7 p.m. She left", "seven p m. she left"),
        ("7 p.m. today", "seven p m today"),
        ("9am-5pm, 5-7pm", "nine a m to five p m, five to seven p m"),
        ("from 9 a.m.-5 p.m.", "from nine a m to five p m."),
        ("10:30-11:45", "ten thirty to eleven forty-five"),
        ("5:30 – 6:30 pm", "five thirty to six thirty p m"),
        ("10:30:15", "ten thirty fifteen"),
        ("6 p.m. ET.", "six p m e t."),
        ("noon-1pm, noon–3", "noon to one p m, noon to three"),
        ("11am-noon, 9 p.m.-midnight", "eleven a m to noon, nine p m to midnight"),
        ("scored 45+2' or 90+4", "scored forty-five plus two or ninety plus four"),
        ("14h30", "fourteen thirty"),
        ("3:1, 100:1, 1:50,000", "three to one, one hundred to one, one to fifty thousand"),
        ("a 16:9 display", "a sixteen by nine display"),
        ("7 days/week, 3x/day", "seven days per week, three times per day"),
        ("1:2:3", "one to two to three"),
        ("0:47 left, Wed's at 0:47", "forty-seven seconds left, wednesday's at zero forty-seven"),
        (
            "00:03:27, a sub-3:00 marathon",
            "zero hours three minutes twenty-seven seconds, a sub three marathon",
        ),
        (
            "10a–2p, at 6p, at 0730 hrs",
            "ten a m to two p m, at six p m, at zero seven thirty hours",
        ),
    ],
)
def test_clocks_are_said(written: str, said: str) -> None:
    assert normalize(written, "english").strip() == said
