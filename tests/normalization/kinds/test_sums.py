"""Sums, powers, comparisons and fractions."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2/5in. = 6 mm", "two divided by five inches equals six millimeters"),
        ("x > 96e8 km", "x is greater than ninety-six times ten to the eighth kilometers"),
        ("3×10⁻⁷ m", "three times ten to the minus seven meters"),
        ("7 - 2 = 5", "seven minus two equals five"),
        ("7-2=5 and 10-3=7", "seven minus two equals five and ten minus three equals seven"),
        ("10 - 3, 3 - 10", "ten minus three, three to ten"),
        ("5 * 3, 3*4", "five times three, three times four"),
        ("12 ÷ 4, 10 / 2 = 5", "twelve divided by four, ten divided by two equals five"),
        ("2 × 3 = 6, 5 ± 1", "two times three equals six, five plus or minus one"),
        ("x > 5, x >= 5", "x is greater than five, x is greater than or equal to five"),
        ("≤ 10, ≈ 3.14, ~5", "less than or equal to ten, about three point one four, about five"),
        ("x², 10³, 10^6, 2^10", "x squared, ten cubed, ten to the sixth, two to the tenth"),
        ("10⁻³, x^n", "ten to the minus three, x to the n"),
        ("6.02×10²³", "six point zero two times ten to the twenty-third"),
        ("1.5e-3", "one point five times ten to the minus three"),
        ("√16", "the square root of sixteen"),
        ("a² + b² = c²", "a squared plus b squared equals c squared"),
        ("y = 2x + 1", "y equals two x plus one"),
        ("f(x) = 2x", "f of x equals two x"),
        ("E = mc²", "e equals m c squared"),
        ("g = 9.81 m/s²", "g equals nine point eight one meters per second squared"),
        ("π, Δt = 3 s", "pi, delta t equals three seconds"),
        ("1/2 or 3/4, 24/7", "one half or three quarters, twenty-four seven"),
        ("1 1/2 cups, 1½ cups", "one and one half cups, one and one half cups"),
        ("5/16, 1/100, 3/32", "five sixteenths, one hundredth, three thirty-seconds"),
        ("22/7, 9/11", "twenty-two over seven, nine eleven"),
        ("⅔ cup, ⅛ tsp", "two thirds cup, one eighth of a teaspoon"),
        ("1/2 mile, 3/4 in. long", "one half mile, three quarters of an inch long"),
        ("step 1/5", "step one of five"),
        ("3y², f(x)", "three y squared, f of x"),
        ("a 50/50 split, the 80/20 rule", "a fifty fifty split, the eighty twenty rule"),
        ("kept (n = 5), too", "kept (n equals five), too"),
        ("if len(x) == 0", "if len (x) equals zero"),
        (
            "P = 5 mW, 11 ×10⁹/L",
            "p equals five milliwatts, eleven times ten to the ninth per liter",
        ),
        (
            "∫₀¹ x dx, ∑ᵢ₌₁ⁿ i",
            "the integral from zero to one of x d x, the sum from i equals one to n of i",
        ),
        ("n(n+1)/2", "n (n plus one) over two"),
        ("(1)² − 2x = 6x", "one, squared minus two x equals six x"),
        ("1π² + 2", "one pi squared plus two"),
        ("(y)² − 2x, −3m² = 1", "y, squared minus two x, minus three square meters equals one"),
        (
            "x = n!, 2 + 2 = 4! and 3! + 2! = 8",
            "x equals n factorial, two plus two equals four! and three factorial plus two "
            "factorial equals eight",
        ),
        ("E = 9 × 10¹⁶ J!!", "e equals nine times ten to the sixteenth joules!"),
        ("if i >= len(a)", "if i is greater than or equal to len (a)"),
        ("calc(100% - 20px)", "calc (one hundred percent minus twenty pixels)"),
        ("(a + b) / 2a", "(a plus b) over two a"),
        (
            "2 : 3 and 12 V × 2 A = 24 W",
            "two to three and twelve volts times two amps equals twenty-four watts",
        ),
        ("k = 2×10⁻⁴ s⁻¹", "k equals two times ten to the minus four per second"),
        ("√(2)", "the square root of two"),
        ("210 × 297 mm", "two hundred ten by two hundred ninety-seven millimeters"),
    ],
)
def test_sums_are_said(written: str, said: str) -> None:
    assert normalize(written, "english").strip() == said
