r"""Formulas in TeX, between dollar signs or `\(` and `\)`."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.normalization import normalize
from sled.text.plain import PlainTextReader


def plain_text(*pieces: str) -> str:
    reader = PlainTextReader("english")
    read = [part for piece in pieces for part in reader.feed(piece)] + reader.finish()
    return "".join(part for part in read if isinstance(part, str))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Here $E = mc^2$.", "here e equals m c squared."),
        (
            r"$x = \frac{-b \pm \sqrt{b^2-4ac}}{2a}$",
            "x equals minus b plus or minus the square root of b squared minus four a c, "
            "over two a",
        ),
        (
            r"\[ \sum_{i=1}^{n} i = \frac{n(n+1)}{2} \]",
            "the sum from i equals one to n of i equals n (n plus one), over two",
        ),
        (r"So \(a_1 \le 5\).", "so a sub one is less than or equal to five."),
        (r"$\lim_{x \to 0} \sin x$", "the limit as x approaches zero of sine x"),
        (
            r"$$\int_0^1 x^2 \, dx = \frac{1}{3}$$",
            "the integral from zero to one of x squared d x equals one third",
        ),
        (
            r"$\theta = 45^\circ$, $\log_2 8$, $\sqrt[3]{27} = 3$",
            "theta equals forty-five degrees, log base two of eight, "
            "the cube root of twenty-seven equals three",
        ),
        (r"$2x + 3 = 7$, $\frac12$, $x$", "two x plus three equals seven, one half, x"),
        (r"$\text{rate} = 5\%$", "rate equals five percent"),
        # Amounts, variables of a shell and price levels are text.
        ("$5 and $10, or $5-$10", "five dollars and ten dollars, or five to ten dollars"),
        ("$20 for it, then $30 more", "twenty dollars for it, then thirty dollars more"),
        ("echo $HOME and $PATH", "echo dollar home and dollar path"),
        ("Joe's ($$) or Max's ($$)", "joe's or max's"),
        (r"\$5 and \[x", "five dollars and (x"),
    ],
)
def test_formulas_are_said(written, said):
    assert normalize(plain_text(written), "english").strip() == said


PARTS = ["$", "$$", "\\(", "\\)", "\\[", "\\]", "\\frac", "\\sqrt[3]", "\\sum", "_", "^", "{", "}",
         "x", " = ", "2", " 5", "\\", "-", ", ", "\n", "\n\n", "\\le ", "k "]  # fmt: skip


@given(data=st.data(), parts=st.lists(st.sampled_from(PARTS), max_size=40))
def test_formulas_do_not_depend_on_the_cuts(data, parts):
    text = "".join(parts)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]
    assert plain_text(*pieces) == plain_text(text)


@pytest.mark.parametrize("unit", ["^{", "{", "\\frac", "\\sqrt{", "$", "\\(", "_"])
def test_deep_and_open_formulas_end(unit):
    # Those within the longest formula are read, too.
    for begin, end, length in (
        ("$x", "$", 150),
        ("\\[", "\\]", 490),
        ("$$", "$$", 490),
        ("", "", 5000),
    ):
        plain_text(begin + unit * (length // len(unit)) + end)
