r"""Regular expressions, sign by sign.

^\d{3}-\d{4}$    caret backslash d three dash backslash d four dollar
[A-Za-z0-9_]+    a to z, a to z, zero to nine, underscore plus
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization import numbers
from sled.normalization.kinds.addresses import SIGN_NAMES
from sled.normalization.rules import LETTER_GAP, Rule, rule, spell

_SIGN_NAMES = SIGN_NAMES | {"^": "caret", "|": "or"}
_PART = re.compile(
    r"\\[A-Za-z]|[A-Za-z0-9]-[A-Za-z0-9](?![\w-])|[A-Z]-[A-Z]|[a-z]-[a-z]|\d-\d|\d+|[A-Za-z]+|[^\w\s]|_"
)


def _say_character(text: str) -> str:
    return numbers.cardinal(text) if text.isdigit() else spell(text)


def _say_pattern(match: Match[str]) -> str:
    said = []
    for part in _PART.findall(match["pattern"]):
        if part[0] == "\\" and len(part) > 1:
            said.append(f"backslash {spell(part[1])}")
        elif len(part) == 3 and part[1] == "-":
            said.append(f"{_say_character(part[0])} to {_say_character(part[2])},")
        elif part.isdigit():
            said.append(numbers.number(part, is_count=True))
        elif part.isalpha():
            said.append(spell(part) if len(part) == 1 else part)
        elif part in _SIGN_NAMES:
            said.append(_SIGN_NAMES[part])
    return " ".join(said).replace(f"{LETTER_GAP} ", LETTER_GAP).removesuffix(",")


_CLASS = r"(?:\^?(?:[A-Z]-[A-Z]|[a-z]-[a-z]|\d-\d)+[^\]\s]*)"
BEGINS = r"(?=\S*(?:\\[dwsbDWSB]|\[\^?[A-Za-z0-9]-))"
RULES: list[Rule] = [
    rule(
        r"(?<![^ \n\v\"'(])(?P<pattern>"
        r"(?![A-Za-z]:\\|\\\\)[^\s\w\"']\S*\\[dwsbDWSB]\S*?[^\s.,;:!?\"')]"
        rf"|\\[dwsbDWSB](?!\w)\S*?|\[{_CLASS}\][+*?]?)(?=[.,;:!?\"')]*(?:$|[ \n\v]))",
        _say_pattern,
    ),
]
