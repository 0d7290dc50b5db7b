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
        ("1 → 2 -> 3 ✓", "one - two - three"),
        ("I <3 you :-) yes", "i you yes"),
        # an eight or x before a parenthesis is no picture
        ("(ages 5-8), len(x), see 8) 8-) xD", "(ages five to eight), len (x), see eight)"),
        ("*one* _two_ `three`", "one two 'three'"),
        ("Tom &amp; Jerry, <b>bold</b> text", "tom and jerry, bold text"),
        ("[the guide](https://example.com/g)", "(the guide)"),
        ("50% off, 5 § 3", "fifty percent off, five section three"),
    ],
)
def test_signs_are_said(written: str, said: str) -> None:
    assert normalize(written, "english").strip() == said
