"""Regular expressions."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            r"match ^\d{3}-\d{4}$ now",
            "match caret backslash d three dash backslash d four dollar now",
        ),
        ("[A-Za-z0-9_]+", "a to z, a to z, zero to nine, underscore plus"),
        (r"\d+, \s and \b.", "backslash d plus, backslash s and backslash b."),
        (r"^a&\d~$", "caret a and backslash d tilde dollar"),
        (r"C:\Windows\docs", "c colon backslash windows backslash docs"),
        ("text [sic], page [12]", "text (sic), page (twelve)"),
    ],
)
def test_patterns_are_said_sign_by_sign(written, said):
    assert normalize(written, "english") == said
