r"""Formulas in TeX, as chat models write them, in words and signs that can be read.

$x = \frac{-b \pm \sqrt{b^2-4ac}}{2a}$  x = −b ± the square root of b^2 − 4ac, over 2a
\(a_1 \le \sum_{i=1}^{n} i\)            a sub 1 ≤ the sum from i = 1 to n of i
$$E = mc^2$$                            E = mc^2

A dollar sign begins a formula only if a second one ends it on the same line, and what is between
them looks like one: prices and variables of a shell are text.
"""

from __future__ import annotations

import re
from itertools import accumulate

from sled.text.markup.events import WAIT, Found, Result, Words

# A formula within a line ends within this many characters, one on lines of its own within MAX_WAIT.
_MAX_INLINE = 160
_MAX_DEPTH = 16  # of braces; deeper ones are no formula that anyone can follow
# What cannot begin a formula: a space, an amount of money, or a second sign.
_NO_FORMULA = re.compile(
    r"\$(?:[\s,.;:!?)]|\d[\d.,]*(?:[kKmMbBtT](?![a-zA-Z])|[^a-zA-Z\d.,^=+\\ ]| [^=+<>\\]))"
)
_INLINE = re.compile(r"\$((?:[^$\\\n]|\\.)+)\$(?![A-Za-z\d])")
_LOOKS_LIKE = re.compile(r"[\\^_=<>+]|^[A-Za-z]$|[a-zA-Z]\(|^\d+$")

_SIGNS = {
    "times": "×", "cdot": "×", "div": "÷", "pm": "±", "mp": "±", "le": "≤", "leq": "≤", "ge": "≥",
    "geq": "≥", "ne": "≠", "neq": "≠", "approx": "≈", "sim": "~", "equiv": "≡", "infty": "∞",
    "to": "→", "rightarrow": "→", "Rightarrow": "→", "implies": "→", "in": "∈", "notin": "∉",
    "cup": "∪", "cap": "∩", "subset": "⊂", "forall": "∀", "exists": "∃", "partial": "∂",
    "circ": "°", "degree": "°", "ldots": "...", "cdots": "...", "dots": "...", "lt": "<", "gt": ">",
    "propto": "∝", "land": "∧", "lor": "∨", "neg": "¬", "therefore": "∴", "mid": "given",
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε",
    "zeta": "ζ", "eta": "η", "theta": "θ", "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ",
    "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ",
    "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ",
    "Lambda": "Λ", "Pi": "Π", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
}  # fmt: skip
# With limits below and above them.
_WITH_LIMITS = {"sum": "the sum", "prod": "the product", "int": "the integral"}
# Behind a letter: x bar.
_ACCENTS = {
    "bar": "bar",
    "overline": "bar",
    "hat": "hat",
    "vec": "",
    "tilde": "tilde",
    "dot": "dot",
}
_ROOTS = {"2": "square", "3": "cube"}
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[{}^_]|\d+(?:\.\d+)?|[^\S\n]+|.", re.DOTALL)
_SIMPLE = re.compile(r"\d+|[A-Za-zα-ω]|\d[A-Za-zα-ω]")


def find_dollars(text: str, full: bool) -> Result:
    """A formula between dollar signs."""
    if text.startswith("$$"):
        return _find_until(text, "$$", full)
    if len(text) == 1:
        return None if full else WAIT
    full = full or len(text) >= _MAX_INLINE or "\n" in text
    text = text[:_MAX_INLINE]
    if _NO_FORMULA.match(text):
        return None
    match = _INLINE.match(text)
    if match is None:
        return None if full else WAIT
    if match.end() == len(text) and not full:
        return WAIT
    if match[1] != match[1].strip() or not _LOOKS_LIKE.search(match[1]):
        return None
    return _found(match[1], match.end())


def find_parentheses(text: str, full: bool) -> Result:
    r"""A formula between `\(` and `\)`, or `\[` and `\]`."""
    return _find_until(text, {"(": "\\)", "[": "\\]"}[text[1]], full)


def _find_until(text: str, closing: str, full: bool) -> Result:
    end = text.find(closing, 2)
    blank = text.find("\n\n", 0, end if end >= 0 else len(text))
    if end < 0 or blank >= 0:
        return None if full or blank >= 0 else WAIT
    formula = text[2:end]
    if closing == "$$" and not re.search(r"[\\^_=]", formula):
        return None  # prices of restaurants: ($$)
    return _found(formula, end + len(closing))


def _found(tex: str, end: int) -> Result:
    """A formula that ends there; None if too many of its braces are open at once."""
    depth = max(accumulate((sign == "{") - (sign == "}") for sign in tex), default=0)
    return None if depth > _MAX_DEPTH else Found(end, (Words(read_formula(tex), 0, end),))


def read_formula(tex: str) -> str:
    """The words and signs of a formula in TeX."""
    said = _Reader(_TOKEN.findall(tex)).read()
    return re.sub(r"\s+", " ", said).strip().removesuffix(",")


class _Reader:
    """Reads the tokens of a formula; a group in braces is read by itself."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens, self._at = tokens, 0

    def read(self) -> str:
        """The rest of the formula."""
        said: list[str] = []
        while self._at < len(self._tokens):
            said.append(self._next(said))
        return "".join(said)

    def _next(self, said: list[str]) -> str:
        token = self._tokens[self._at]
        self._at += 1
        if token == "{":
            self._at -= 1
            return _Reader(self._group()).read()
        if token in "^_":
            return self._script(token)
        if token == "-":
            return " − " if any(map(str.strip, said)) and said[-1] != "(" else "−"
        if token == "*":
            return " × "
        if token in "=<>+":
            return f" {token} "
        if token in "}&~" or token.isspace():
            return " "
        return self._command(token[1:]) if token[0] == "\\" else token

    def _command(self, name: str) -> str:
        if name in ("frac", "dfrac", "tfrac"):
            above, below = self._argument(), self._argument()
            if _SIMPLE.fullmatch(above) and _SIMPLE.fullmatch(below):
                return f" {above}/{below} "
            return f" {above}, over {below}, "
        if name == "sqrt":
            degree = self._option()
            root = _ROOTS.get(degree or "2", f"{degree}th")
            of = self._argument()
            return f" the {root} root of {of}{' ' if _SIMPLE.fullmatch(of) else ', '}"
        if name in _WITH_LIMITS:
            return f" {_WITH_LIMITS[name]}{self._limits()} of "
        if name == "lim":
            below = self._script_of("_")
            return f" the limit as {below.replace('→', ' approaches ')} of " if below else " lim "
        if name == "log":
            base = self._script_of("_")
            return f" log base {base} of " if base else " log "
        if name in _ACCENTS:
            return f"{self._argument()} {_ACCENTS[name]}"
        if name in _SIGNS:
            sign = _SIGNS[name]
            return sign if sign.isalpha() or sign in "°∞" else f" {sign} "
        if name in ("text", "mathrm", "mathbf", "mathbb", "mathcal", "operatorname", "textbf"):
            return self._argument(verbatim=name == "text")
        if name in ("begin", "end"):
            self._argument()
            return " "
        if name in ("left", "right", "quad", "qquad", "displaystyle", "limits", "boxed"):
            return " "
        if len(name) == 1:
            return name if name in "%$&#_" else " "
        return f" {name} "  # sin, max

    def _script(self, sign: str) -> str:
        """What stands above or below a sign."""
        said = self._argument()
        if sign == "_":
            return f" sub {said} "
        if said in ("°", "′", "'"):
            return said
        return f"^{said}" if re.fullmatch(r"−?\d+|[A-Za-z]", said) else f" to the {said} "

    def _script_of(self, sign: str) -> str:
        """The script behind a command; "" if it has none."""
        if self._at < len(self._tokens) and self._tokens[self._at] == sign:
            self._at += 1
            return self._argument()
        return ""

    def _limits(self) -> str:
        below = self._script_of("_")
        above = self._script_of("^")
        below = below or self._script_of("_")
        if below and above:
            return f" from {below} to {above}"
        return f" over {below}" if below else ""

    def _argument(self, *, verbatim: bool = False) -> str:
        """The next group, or the next token."""
        while self._at < len(self._tokens) and self._tokens[self._at].isspace():
            self._at += 1
        if self._at == len(self._tokens):
            return ""
        if self._tokens[self._at] == "{":
            group = self._group()
            return "".join(group) if verbatim else _Reader(group).read().strip()
        token = self._tokens[self._at]
        if token.isdigit() and len(token) > 1:  # \frac12 has the digits one by one
            self._tokens[self._at] = token[1:]
            return token[0]
        self._at += 1
        return self._command(token[1:]).strip() if token[0] == "\\" else token.replace("-", "−")

    def _group(self) -> list[str]:
        """The tokens between the next brace and the one that closes it."""
        depth, start = 0, self._at
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            depth += (token == "{") - (token == "}")
            if depth == 0:
                return self._tokens[start + 1 : self._at - 1]
        return self._tokens[start + 1 :]

    def _option(self) -> str:
        """The 3 of a cube root, in brackets."""
        if self._at < len(self._tokens) and self._tokens[self._at] == "[":
            end = self._tokens.index("]", self._at) if "]" in self._tokens[self._at :] else self._at
            option = "".join(self._tokens[self._at + 1 : end])
            self._at = end + 1
            return option
        return ""
