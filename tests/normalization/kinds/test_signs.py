"""Marks and signs."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Q&A @ home + #3", "q and a at home plus number three"),
        ("#ai in C#, F#m, C++", "hashtag ai in c sharp, f sharp m, c plus plus"),
        ("Hello!!!!! What?!?! So....", "hello! what? so..."),
        ("“Naïve” ‘café’…", "\"naive\" 'cafe'..."),
        ("here—there, so -- yes", "here - there, so - yes"),
        ("here – there - yes", "here - there - yes"),
        ("Hi 👋! I ❤️ NY", "hi! i n y"),
        # a mark behind a space or a picture joins the word before it
        ("Bonjour ! Yes ? No ; so , well : ok …", "bonjour! yes? no; so, well: ok..."),
        ("Sure 😊, I will 👍.", "sure, i will."),
        ('He said "go" , (twice) ; then', 'he said "go", (twice); then'),
        ("it costs .5 or :) so", "it costs zero point five or so"),
        ("😀 , hello", "hello"),
        ("1 → 2 -> 3 ✓", "one to two to three"),
        ("I <3 you :-) yes", "i you yes"),
        # an eight or x before a parenthesis is no picture
        ("(ages 5-8), len(x), see 8) 8-) xD", "(ages five to eight), len (x), see eight)"),
        ("*one* _two_ `three`", "one two 'three'"),
        ("Tom &amp; Jerry, <b>bold</b> text", "tom and jerry, bold text"),
        ("[the guide](https://example.com/g)", "(the guide)"),
        ("50% off, 5 § 3", "fifty percent off, five section three"),
        ("5ms → 3ms, A → B, x→0", "five milliseconds to three milliseconds, a - b, x to zero"),
        ("hall B · 9 am • here", "hall b - nine a m - here"),
        (
            "18/min, 7:49/mi, 2/serving",
            "eighteen per minute, seven forty-nine per mile, two per serving",
        ),
        ("hrs., etc.; est. So", "hours, et cetera; est. so"),
        ("i**2, a !== b", "i to the power of two, a is not equal to b"),
        ("↑ 15%, ▼ $3, scroll ↓", "up fifteen percent, down three dollars, scroll"),
        ("⌘+Shift+4, ⌥⌘I", "command shift four, option command i"),
        ("#BlackLivesMatter", "hashtag black lives matter"),
        ("cp <source> <target-dir>", "c p source target dir"),
        ("a B−", "a b minus"),
        ("C#m7", "c sharp m seven"),
    ],
)
def test_signs_are_said(written: str, said: str) -> None:
    assert normalize(written, "english").strip() == said
