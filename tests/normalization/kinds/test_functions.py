"""Functions, limits and absolute values."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("sin θ, cos 60°, sin 2x", "sine theta, cosine sixty degrees, sine two x"),
        ("ln K, ln 2", "the natural log of k, the natural log of two"),
        ("log₁₀ 100 = 2", "log base ten of one hundred equals two"),
        (
            "lim x→0 of sin(x)/x = 1",
            "the limit as x approaches zero of sine of x divided by x equals one",
        ),
        ("lim x→∞ 1/x", "the limit as x approaches infinity of one over x"),
        ("|x − 3| < 5", "the absolute value of x minus three less than five"),
        ("1/x and n/2, but w/2", "one over x and n over two, but with two"),
        ("ΔH° = −5 kJ", "delta h naught equals minus five kilojoules"),
        ("a tan T-shirt, log in", "a tan t-shirt, log in"),
    ],
)
def test_functions_are_said(written, said):
    assert normalize(written, "english") == said
