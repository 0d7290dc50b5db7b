"""Functions, limits and absolute values, where they are no part of a sum.

sin θ, ln K, log₁₀ 100, log₂(8)  sine theta, the natural log of k, log base ten of one hundred
lim x→0 sin(x)                   the limit as x approaches zero of sine of x
|x − 3|                          the absolute value of x minus three
1/x, n/2                         one over x, n over two
ΔH°                              delta h naught
"""

from __future__ import annotations

from re import Match

from sled.normalization import numbers
from sled.normalization.kinds.sums import FUNCTIONS, GREEK
from sled.normalization.rules import LETTER_GAP, Rule, rule, spell

_NAMES = {name: FUNCTIONS[name] for name in ("sin", "cos", "tan")}
_NAMES["ln"] = f"{FUNCTIONS['ln']} of"
_ARGUMENT = r"(?:[α-ωΑ-Ωa-zA-Z](?![\w'-])|\d+°|(?<=ln )\d)"


def _say_variable(letter: str) -> str:
    return GREEK.get(letter) or letter + LETTER_GAP


def _say_term(text: str) -> str:
    return numbers.number(text, is_count=True) if text[0].isdigit() else _say_variable(text)


def _say_limit(match: Match[str]) -> str:
    to = match["to"].lstrip("-−")
    sign = "minus " if to != match["to"] else ""
    end = "infinity" if to == "∞" else _say_term(to)
    return f"the limit as {_say_variable(match['variable'])} approaches {sign}{end} of"


def _say_difference(match: Match[str]) -> str:
    link = "plus" if match["sign"] == "+" else "minus"
    return f"the absolute value of {_say_term(match['one'])} {link} {_say_term(match['two'])}"


_TERM = r"(?:\d+(?:\.\d+)?|[α-ωa-zA-Z])"
BEGINS = rf"(?:{'|'.join(_NAMES)})$|lim|log\d|\||[a-z0-9]{{1,2}}/[a-z0-9]|Δ?[A-Z]°"
RULES: list[Rule] = [
    rule(
        r"(?<!\w)lim[ _(]*(?P<variable>[a-z]) ?→ ?(?P<to>[-−]?(?:\d+|∞|[a-z](?!\w)))\)?"
        r"(?: of(?!\w))?",
        _say_limit,
        begins="lim",
        reach=4,
    ),
    rule(
        rf"(?<!\w)\|(?P<one>{_TERM}) ?(?P<sign>[-−+]) ?(?P<two>{_TERM})\|(?!\w)",
        _say_difference,
        begins=r"\|",
        reach=2,
    ),
    rule(  # sin 2x
        rf"(?<!\w)(?P<name>{'|'.join(_NAMES)}) (?P<number>\d+)(?P<variable>[a-zα-ω])(?!\w)",
        lambda m: f"{_NAMES[m['name']]} {_say_term(m['number'])} {_say_variable(m['variable'])}",
        begins=rf"(?:{'|'.join(_NAMES)})$",
        reach=1,
    ),
    rule(  # sin θ
        rf"(?<!\w)(?P<name>{'|'.join(_NAMES)})(?= {_ARGUMENT})",
        lambda m: _NAMES[m["name"]],
        begins=rf"(?:{'|'.join(_NAMES)})$",
        reach=1,
    ),
    rule(  # log₂ 8
        r"(?<!\w)log(?P<base>\d+)(?= [\da-z(](?!\w{2}[a-z]))",
        lambda m: f"log base {numbers.cardinal(m['base'])} of",
        begins=r"log\d+$",
        reach=1,
    ),
    rule(  # 1/x, n/2
        r"(?<![\w/.])(?P<above>\d{1,2}|[nxyzt])/(?P<below>\d{1,2}|[nxyzt])(?![\w/]|\.\d)",
        lambda m: (
            None
            if m["above"].isdigit() == m["below"].isdigit()
            else f"{_say_term(m['above'])} over {_say_term(m['below'])}"
        ),
    ),
    rule(  # the standard state
        r"(?<!\w)(?P<change>Δ?)(?P<symbol>[GHSEK])°(?![\wCF])",
        lambda m: f"{'delta ' * bool(m['change'])}{spell(m['symbol'])}naught",
    ),
]
