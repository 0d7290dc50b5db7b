"""Sums, powers and comparisons.

    7 - 2 = 5, 10-3=7         seven minus two equals five, ten minus three equals seven
    3*4, 12 ÷ 4, 5 * 3        three times four, twelve divided by four, five times three
    x > 5, x >= 5, ≤ 10       x is greater than five, ..., less than or equal to ten
    10^6, x², 6.02×10²³       ten to the sixth, x squared, six point zero two times ten to the ...
    1.5e-3, √16, ≈ 3.14       ..., the square root of sixteen, about three point one four

A hyphen between two numbers is "minus" where a sign of a sum stands with it, or where it stands
between spaces after the larger number. Elsewhere it is "to", see `numerals`.
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization import numbers
from sled.normalization.kinds.fractions import fraction
from sled.normalization.kinds.unit_names import INVERSE, SPORTS, unit_names
from sled.normalization.rules import (
    CONSONANT,
    END,
    FREE,
    LETTER,
    LETTER_GAP,
    NUMBER,
    Rule,
    before,
    rule,
    so_far,
    spell,
    word_table,
)

_GREEK = dict(
    zip(
        "αβγδεζηθικλμνξοπρστυφχψω",
        [
            *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"),
            *("iota", "kappa", "lambda", "mu", "nu", "xi", "omicron", "pi"),
            *("rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
        ],
        strict=True,
    )
)
GREEK = _GREEK | {letter.upper(): name for letter, name in _GREEK.items()} | {"ς": "sigma"}

_OPERATORS = {
    "+": "plus",
    "−": "minus",
    "±": "plus or minus",
    "×": "times",
    "·": "times",
    "*": "times",
    "÷": "divided by",
    "=": "equals",
    "==": "equals",
    "≠": "is not equal to",
    "!=": "is not equal to",
    "≈": "is about",
    "<": "is less than",
    ">": "is greater than",
    "≤": "is less than or equal to",
    "<=": "is less than or equal to",
    "≥": "is greater than or equal to",
    ">=": "is greater than or equal to",
}
_WORD_OPERATORS = {"x": "times", "X": "times", "/": "divided by", "-": "minus"}
_VARIABLE = "[a-zA-Zα-ωΑ-Ω]"
_POWER = rf"\^[-−+]?(?:\d+|{_VARIABLE})"
_UNIT = (
    r"(?:[munkcμ]?m|[mkμ]?g|[mnμ]?s|min|h|[mkMGμ]?W|[mkμ]?V|[kMG]?eV|[kMG]?Hz|[kMGT]B|[kM]?J"
    r"|k?N|[mhkM]?Pa|mA|[kM]?Ω|[pnμ]F|yrs?|°[CF]|mi|ft"
    r"|in(?=\. )|lbs?|oz|mph|ha|m?L|ml|mol|px|(?<= )(?:A|K|ac))(?:\^?[23])?"
)
_FACTOR = rf"(?:{_UNIT}|K)"
_MEASURE = rf"(?:{INVERSE}|{_UNIT}(?:[/·]{_FACTOR}|/\({_UNIT}[· ]{_FACTOR}\)|(?<=\^[23])K)*)"
# The same in the text of an operand, which ends where the look-ahead looked.
_OWN_MEASURE = _MEASURE.replace(r"(?=\. )", "")
_NUMBER = (
    rf"(?:{NUMBER})(?:[eE][-−+]?\d+(?!\w))?"
    rf"(?:%|(?:[xyzn]|ab|ac|bc|xy)(?!\w)| ?{_MEASURE}(?![\w(^/·])(?:\.(?= =))?)?"
)
FUNCTIONS = word_table(
    "sin=sine cos=cosine tan=tangent arcsin=arc_sine arccos=arc_cosine arctan=arc_tangent log=log "
    "ln=the_natural_log exp=exp sqrt=the_square_root max=the_maximum min=the_minimum lim=the_limit "
    "abs=the_absolute_value"
)
_ARGUMENT = r"[-−]?(?:\d+(?:\.\d+)?°?[xyztn]?|[a-zA-Zα-ωΑ-Ω])"
_FUNCTION = rf"(?:(?:{'|'.join(FUNCTIONS)})\d*|[a-zA-Z]'{{0,2}})"
_OPEN_CALL = rf"{_FUNCTION}\({_ARGUMENT}(?:, ?{_ARGUMENT})*"
_CALL = rf"{_OPEN_CALL}\)"
_POWER_OF_FUNCTION = rf"(?:sin|cos|tan|log)\^\d ?{_VARIABLE}(?!{LETTER})"  # sin²x
# Elsewhere it is a mark: 2 + 2 = 4!
_FACTORIAL = r"(?:(?<=\W[nk])!|!(?= ?[-−+×·*/÷=≠≈<>≤≥)]))?"
_OPERAND = (
    rf"(?:{_CALL}|{_POWER_OF_FUNCTION}|\|[-−]?{_VARIABLE}\||[-−]?√?\(?(?:{_NUMBER}|Δ?{_VARIABLE}(?!{_VARIABLE})|{_VARIABLE}{{2}}(?=\^)"
    r"|(?!by)(?:m[acghvx]|[abc][bcxyz]|[xy][yz])(?![a-zA-Z]))"
    rf"(?:{_POWER}(?: {_MEASURE}(?![\w(^/·])|/[mμ]?L(?!\w))?)?{_FACTORIAL}(?!\w)\)?"
    rf"(?:(?<=\)){_POWER})?)"
)
_OPERATOR = r"(?:[=!<>]=|[-+−±×·*÷=≠≈<>≤≥/xX])"
_STRONG = re.compile(r"[+−±×·*÷=≠≈<>≤≥^√]")
_POWER_NAMES = {"2": "squared", "3": "cubed"}


_IN_SPORT = re.compile(SPORTS)


def _say_sum(match: Match[str]) -> str | None:
    text = match[0]
    if _IN_SPORT.match(match.string, match.end(), match.endpos):
        return None  # 4×100 m relay
    if _is_size(match) or _SEPARATED.match(text):
        return None
    opens, closes = text.count("("), text.count(")")
    is_whole = _PARENTHESIZED.fullmatch(text) is not None
    first = "(" if text[0] == "(" and (is_whole or opens > closes) else ""
    last = ")" if text[-1] == ")" and (is_whole or closes > opens) else ""
    inner = text[len(first) : len(text) - len(last)]
    if inner.count("(") != inner.count(")"):
        return None  # len(x) == 0
    said = _say_terms(inner)
    return said and f"{first}{said}{last}"


_SEPARATED = re.compile(r"[A-Z] · \d")  # Hall B · 9 am
_PARENTHESIZED = re.compile(r"\([^()]*\)")


def _is_size(match: Match[str]) -> bool:
    """Whether it is a size in inches or pixels: 9×13" pan."""
    behind = match.string[match.end() : match.end() + 1]
    if re.fullmatch(r"\(?\d{3,4}×\d{3,4}\)?", match[0]):
        return True  # 1920×1080
    return behind == '"' and re.fullmatch(r"[\d.]+(?: ?× ?[\d.]+)+", match[0]) is not None


def _say_terms(text: str) -> str | None:
    is_strong = _STRONG.search(text) is not None
    if not is_strong and not _is_difference(text):
        return None
    said, at, expects_operand = [], 0, True
    while at < len(text):
        if text[at] == " ":
            at += 1
            continue
        if expects_operand and (part := _FRACTION.match(text, at)) and _is_part(part):
            said.append(fraction(int(part["above"]), int(part["below"])))
            said += [part["of"] + LETTER_GAP] if part["of"] else []
        elif expects_operand:
            part = _OPERAND_PATTERN.match(text, at)
            if part is None:  # without the text behind it, a unit may end elsewhere
                return None
            said.append(_say_operand(part[0]))
        else:
            part = _OPERATOR_PATTERN.match(text, at)
            if part is None:  # without the text behind it, a unit may end elsewhere
                return None
            said.append(_say_operator(part[0], text))
        expects_operand = not expects_operand
        at = part.end()
    words = " ".join(said)
    return words.replace(" times ", " by ") if _SIZES.fullmatch(text) else words


_LENGTH = rf"(?:{NUMBER}) ?(?:mm|cm|km|m|in|ft|yd)"
_SIZES = re.compile(rf"(?:(?:{NUMBER})|{_LENGTH})(?: ?× ?(?:{NUMBER}))*(?: ?× ?{_LENGTH})+")
_OPERAND_PATTERN, _OPERATOR_PATTERN = re.compile(_OPERAND), re.compile(_OPERATOR)
_FRACTION = re.compile(r"(?P<above>\d{1,2})/(?P<below>\d{1,2})(?P<of>[a-z]?)(?![\w./(])")


def _is_part(match: Match[str]) -> bool:
    return 0 < int(match["above"]) < int(match["below"])


def _is_difference(text: str) -> bool:
    """Whether a hyphen between two spaces is a minus: behind the larger number."""
    parts = text.split(" - ")
    if len(parts) != 2:
        return False
    try:
        one, two = (
            float(numbers.plain_number(part.removesuffix("%").removesuffix("px"))) for part in parts
        )
    except ValueError:
        return False
    return one > two


def _say_operator(sign: str, text: str) -> str:
    if sign in "xX":
        return "times" if "=" in text else "by"
    if sign == "/":
        return "divided by" if " / " in text or "=" in text else "over"
    return _OPERATORS.get(sign) or _WORD_OPERATORS[sign]


def _say_operand(text: str) -> str:
    if text[0] in "-−":
        return f"minus {_say_operand(text[1:])}"
    if re.fullmatch(_POWER_OF_FUNCTION, text):
        return _say_base(text)
    if re.fullmatch(rf"(?:{NUMBER}) ?{_OWN_MEASURE}[.!]?", text):
        return _say_base(text.rstrip("!"))
    if group := re.fullmatch(rf"\(?([^()]*)\)({_POWER})", text):  # (a + b)²
        return f"{_say_operand(group[1])}, {_say_power(group[2][1:])}"
    said = []
    body = text.strip("-−()") if "(" not in text[1:] else text
    if body.startswith("√"):
        said.append("the square root of")
        body = body[1:].strip("()")
    unit = ""
    if measure := re.search(rf"(?<=\^)([-−+]?\d+) ({_OWN_MEASURE})$", body):
        names = unit_names(measure[2])
        body, unit = body[: measure.end(1)], f" {names[1]}" if names else ""
    if volume := re.search(r"(?<=\d)/([mμ]?L)$", body):  # 10⁹/L
        names = unit_names(volume[1])
        body, unit = body[: volume.start()], f" per {names[0]}" if names else ""
    is_factorial = body.endswith("!")
    base, _, power = body.rstrip("!").partition("^")
    said.append(_say_base(base))
    if power:
        said.append(_say_power(power))
    if is_factorial:
        said.append("factorial")
    return " ".join(said) + unit


def _say_base(text: str) -> str:
    if call := re.fullmatch(r"([a-zA-Z]+)(\d*)('*)\((.*)\)?", text):
        arguments = [_say_operand(argument.strip(" )")) for argument in call[4].split(",")]
        name = FUNCTIONS.get(call[1]) or _say_base(call[1])
        base = f" base {numbers.cardinal(call[2])}" if call[2] else ""
        return f"{name}{base}{' prime' * len(call[3])} of {' '.join(arguments)}"
    if power := re.fullmatch(rf"([a-z]+)\^(\d) ?({_VARIABLE})", text):
        return f"{FUNCTIONS[power[1]]} {_say_power(power[2])} {_say_base(power[3])}"
    if text.startswith("|"):
        return f"the absolute value of {_say_operand(text.strip('|'))}"
    if text.endswith("°"):
        return f"{_say_base(text[:-1])} degrees"
    if len(text) == 2 and text.isalpha():
        return f"{_say_base(text[0])} {_say_base(text[1])}"
    if measure := re.fullmatch(rf"({NUMBER}(?:[eE][-−+]?\d+)?) ?((?!e){_OWN_MEASURE})\.?", text):
        names = ("amp", "amps") if measure[2] == "A" else unit_names(measure[2])
        number = _say_base(measure[1])
        return f"{number} {names[measure[1] != '1']}" if names else number
    if coefficient := re.fullmatch(rf"({NUMBER})({_VARIABLE}{{1,2}})", text):
        return f"{_say_base(coefficient[1])} {_say_base(coefficient[2])}"
    if text in GREEK:
        return GREEK[text]
    if text.isalpha():
        return text + LETTER_GAP
    text, percent = text.removesuffix("%"), " percent" if text.endswith("%") else ""
    number, _, exponent = text.replace("E", "e").partition("e")
    said = numbers.number(number, is_count=True) + percent
    return f"{said} times ten {_say_power(exponent)}" if exponent else said


def _say_power(power: str) -> str:
    sign, digits = ("minus ", power[1:]) if power[0] in "-−" else ("", power.lstrip("+"))
    if not digits.isdigit():
        name = GREEK.get(digits) or f"{digits}{LETTER_GAP}"
        return f"to the {sign}{name}"
    if sign:
        return f"to the minus {numbers.cardinal(digits)}"
    return _POWER_NAMES.get(digits) or f"to the {numbers.ordinal(digits)}"


def _say_difference(match: Match[str]) -> str | None:
    """1-x, n-1: a variable on one side."""
    sides = match["left"], match["right"]
    if all(side.isdigit() for side in sides) or all(side.isalpha() for side in sides):
        return None
    return f"{_say_base(sides[0])} minus {_say_base(sides[1])}"


def _say_factors(match: Match[str]) -> str | None:
    """The mv² of 1/2 mv²; units are none."""
    last = match["last"]
    if unit_names(match["factors"] + last):
        return None
    factors = " ".join(map(_say_base, match["factors"]))
    return f"{factors} {_say_operand(last + '^' + match['power'])}"


def _say_scientific(match: Match[str]) -> str:
    return _say_base(match[0])


def _say_comparison(match: Match[str]) -> str:
    """A sign of comparison before a number, with nothing to compare before it, or in code."""
    if match["code"]:
        return _OPERATORS[match["code"]]
    return _OPERATORS[match["sign"]].removeprefix("is ")


BEGINS = (
    rf"[-−(√~∫∑∏/<>!=≤≥≈≠∞|.^/\d]|(?:{'|'.join(FUNCTIONS)})(?:\d*\(|\^)|{_VARIABLE}(?!{LETTER})"
    rf"|(?:[A-Z]{{2,3}}|[a-z][A-Z]{{1,2}}|{CONSONANT}{{2,3}})(?!\w)|[a-zα-ω]{{2,3}}\^"
)
RULES: list[Rule] = [
    rule(
        rf"(?<![\w.,/])(?:{_OPERAND})(?: ?{_OPERATOR} ?{_OPERAND})+(?![\w^(/-]|[.,]\d)",
        _say_sum,
        begins=rf"(?![aAI]$){_OPERAND}(?:$|{_OPERATOR})(?:[^\s]*)$|{_OPEN_CALL},$",
        reach=16,
        goes_on=so_far(
            rf"(?:{_OPERAND}(?: ?{_OPERATOR} ?{_OPERAND})*(?: ?{_OPERATOR})?|{_OPEN_CALL},)"
        ),
    ),
    rule(
        rf"(?<!\w)(?:[fghFGHP]'{{0,2}}|(?:{'|'.join(FUNCTIONS)})\d*)\({_ARGUMENT}\)(?!\w)",
        lambda m: _say_base(m[0]),
    ),
    rule(  # P(A|B)
        rf"(?<!\w)P\((?P<event>{_VARIABLE})\|(?P<given>{_VARIABLE})\)(?!\w)",
        lambda m: f"{spell('P')}of {_say_base(m['event'])} given {_say_base(m['given'])}",
    ),
    rule(r"(?<=[\w)])/(?=\()|(?<=\))/(?=\d|[A-Za-z](?!\w)|[A-Z]\()", "over"),  # 1/(1-x), (n+1)/2
    rule(r"(?<=\) )/(?= (?:\d|[a-z](?!\w)))", "over", begins="/$", reach=1),  # (a + b) / 2a
    rule(  # ∫₀¹, ∑ᵢ₌₁ⁿ
        r"∫(?P<from>\w)\^(?P<to>\w)",
        lambda m: f"the integral from {_say_base(m['from'])} to {_say_base(m['to'])} of",
    ),
    rule(
        r"(?P<sign>[∑∏])(?P<index>[a-z])=(?P<from>\d)\^(?P<to>\w)",
        lambda m: (
            f"the {'sum' if m['sign'] == '∑' else 'product'} from {_say_base(m['index'])} equals "
            f"{_say_base(m['from'])} to {_say_base(m['to'])} of"
        ),
    ),
    rule(  # a = F/m
        rf"(?<=[=≈] )(?P<above>{_VARIABLE})/(?P<below>{_VARIABLE})(?![\w/])",
        lambda m: f"{_say_base(m['above'])} over {_say_base(m['below'])}",
    ),
    rule(r"(?<=[=<>≤≥≈] )\d+[xyzn](?!\w)", lambda m: _say_base(m[0])),
    # PV = nRT, 1/2 mv²
    rule(
        r"(?<=[=≈] )(?!OK|ON|NO|YES|OFF)"
        rf"(?P<factors>[A-Z]{{2,3}}|[a-z][A-Z]{{1,2}}|{CONSONANT}{{2,3}})(?![\w(.'-])",
        lambda m: spell(m["factors"]),
    ),
    rule(
        r"(?<![^\W\d])(?P<factors>[a-zα-ω]{1,2})(?P<last>[a-z])\^(?P<power>[2-9])(?!\w)",
        _say_factors,
    ),
    rule(r"(?<![\w.,])(?P<left>1|[xyzntk])[-−](?P<right>[xyznt1])(?!\w|-)", _say_difference),
    rule(
        r"(?<![\w'-])(?P<variable>[knmx]|\d+)!(?= ?[a-z(=<>≤≥+*/-]|[;)]| $)",
        lambda m: f"{_say_base(m['variable'])} factorial",
        begins=r"(?:[knmx]|\d+)!$",
        reach=1,
    ),
    rule(rf"(?<!\w)\|[-−]?{_VARIABLE}\|(?!\w)", lambda m: _say_base(m[0])),
    rule(
        r"(?<!\w)\^(?P<degree>[3-9])(?=√[(\da-z])",
        lambda m: (
            "the cube root of"
            if m["degree"] == "3"
            else f"the {numbers.ordinal(int(m['degree']))} root of"
        ),
    ),
    rule(r"(?<=\^\d)√(?=[(\da-z])", ""),
    rule(r"(?<!\w)O(?=\((?:[1nmkNVE]|log))", f"O{LETTER_GAP}of"),
    rule(
        rf"{FREE}√\(?(?:{NUMBER}|{_VARIABLE}(?!\w))\)?",
        lambda m: _say_operand(m[0]).removeprefix("the " * (before(m).lower() == "the")),
    ),
    rule(rf"{FREE}(?:{NUMBER})(?:e[-−+]?\d{{1,3}}|E[-−+]?\d{{1,2}}){END}", _say_scientific),
    rule(
        rf"(?<![\w.])(?:{NUMBER}|(?:\d+)?{_VARIABLE}){_POWER}"
        rf"(?:(?<=\d) {_MEASURE}(?![\w(^/·]))?{END}",
        lambda m: _say_operand(m[0]),
        begins=r"[\d.,]*\d\^[-−]?\d+$",
        reach=1,
    ),
    rule(
        r"(?P<sign>[<>!=]=|[<>≤≥≈≠])(?= ?[-−$€£]?[\d.√])"
        r"|(?<=[^ \n\v] )(?P<code>[<>!=]=)(?= [\w\"'])",
        _say_comparison,
        begins=r"(?:[<>!=]=|[<>≤≥≈≠])",
        reach=1,
    ),
    rule(r"(?<=\w)~(?=\d)", "tilde"),  # HEAD~3
    rule(r"(?<!\w)~(?= ?[$€£]?\d)", "about", begins="~", reach=1),
    rule(r"[-−]?∞", lambda m: "minus infinity" if len(m[0]) > 1 else "infinity"),
]
