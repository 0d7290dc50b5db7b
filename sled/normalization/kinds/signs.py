"""Marks, signs between and beside words, and what is left of markup.

Q&A @ home + #3        and, at, plus, number
#ai in C#              hashtag ai in C sharp
Hello!!!!!, What?!?!   a run of marks counts as one: hello! what?
here—there             a dash is a pause
:-), <3, ->, *, _      left out
<b>bold</b>, &amp;     tags are left out, entities are the sign that they stand for
"""

from __future__ import annotations

import html
import re
from re import Match

from sled.normalization import numbers
from sled.normalization.characters import DASH
from sled.normalization.kinds.money import CURRENCY_SIGNS
from sled.normalization.kinds.unit_names import unit_names
from sled.normalization.rules import CONSONANT, LETTER, Rule, rule, spell, word_set

SYMBOLS = {
    "&": "and",
    "@": "at",
    "+": "plus",
    "=": "equals",
    "%": "percent",
    "°": "degrees",
    "§": "section",
    "¶": "paragraph",
    "©": "copyright",
    "№": "number",
    "×": "times",
    "÷": "divided by",
    "±": "plus or minus",
    "√": "the square root of",
    "∞": "infinity",
    "‰": "per mille",
    "¢": "cents",
    "≠": "is not equal to",
    "≈": "is about",
    "≡": "is equivalent to",
    "∝": "is proportional to",
    "≤": "is less than or equal to",
    "≥": "is greater than or equal to",
    "∈": "in",
    "∉": "not in",
    "⊂": "is a subset of",
    "⊆": "is a subset of",
    "∪": "union",
    "∩": "intersection",
    "∅": "the empty set",
    "∀": "for all",
    "∃": "there exists",
    "∑": "the sum",
    "∏": "the product",
    "∫": "the integral of",
    "∂": "partial",
    "∴": "therefore",
    "♭": "flat",
    "∧": "and",
    "∨": "or",
    "¬": "not",
} | CURRENCY_SIGNS
MARKS = ".,;:!?"
OPENING, CLOSING, PAUSE = "(", ")", "-"


def reduce_marks(marks: str) -> str:
    """One mark for a run of them."""
    if "?" in marks:
        return "?"
    if "!" in marks:
        return "!"
    if re.fullmatch(r"\.[,;:]", marks):  # the first one is of an abbreviation
        return marks[1]
    if set(marks) == {"."}:
        return "..." if len(marks) > 1 else "."
    return min(marks, key=".:;,".index)


def _say_entity(match: Match[str]) -> str | None:
    sign = html.unescape(match[0])
    return None if sign == match[0] else SYMBOLS.get(sign, "")


_TAGS = word_set(
    "a abbr b blockquote body br button center code dd del details div dl dt em font footer form "
    "head header hr html i img input ins kbd label li link mark meta nav ol option p pre q s samp "
    "script section select small span strike strong style sub summary sup table tbody td textarea "
    "th thead title tr tt u ul var video wbr speak voice prosody emphasis audio phoneme break "
    "say-as"
)
BEGINS_FIRST = r"[<&(:;=8xXfF^]"
FIRST: list[Rule] = [
    rule(  # cp <source> <target>
        r"(?<!\w)<(?P<name>[a-z][a-z_-]*[a-z])>(?!\w)",
        lambda m: None if m["name"] in _TAGS else re.sub("[_-]", " ", m["name"]),
    ),
    # Tags and links of markup.
    rule(
        r"(?<!\w)<[A-Za-z][\w-]*(?: [^<>]*|/)?>|<(?:br|hr|wbr)(?: ?/)?>|</[A-Za-z][\w-]* ?>"
        r"|<!--[^<>]*-->",
        "",
        begins=r"</?[A-Za-z][\w-]*(?:$|[/>])|<!--",
        reach=8,
        goes_on=r"[^<>]*",
    ),
    rule(  # f/1.8
        r"(?<!\w)[fF]/(?P<stop>\d+(?:\.\d+)?)(?![\w/])",
        lambda m: f"{spell('f')}{numbers.number(m['stop'])}",
    ),
    rule(r"&(?:[A-Za-z]{2,8}|#\d{1,6}|#x[\da-fA-F]{1,5});", _say_entity),
    rule(r"(?<=\])\((?:https?://|www\.|mailto:|[/#])[^\s()]*\)", ""),
    # An 8 or x before a parenthesis is a picture only with a nose: (5-8), len(x).
    rule(
        r"(?<![\w),])(?:(?:[:;=]['o-]?|[8xX]-)[()\[\]DPpO3/\\|*]+|[xX]D+|\^_*\^|<3+)(?![\w(])", ""
    ),
]

_ARROWS = {"↑": "up", "↓": "down"}
_KEYS = {"⌘": "command", "⌥": "option", "⇧": "shift", "⌃": "control"}
_VALUE = r"[-−+~]?[$€£]?\d[\d.,]*(?:[kKMB%]|[a-zμ]{1,3}|[kMGT]B|°[CF]?)?"
_IS_VALUE = re.compile(rf"(?<![^ \n\v]){_VALUE} $")
_IS_VALUE_NEXT = re.compile(rf" {_VALUE}(?![^ .,;:!?)\n\v])")
_CAPITALIZED = re.compile("[A-Z][a-z]+")
BEGINS = ""
RULES: list[Rule] = [
    rule(r"(?<=\w)'s(?!\w)", "'s"),
    rule(r"(?<![^ \n\v])[-·](?![^ \n\v])", DASH),
    rule(r"(?<=(?<!\w)\w)→(?=\w(?!\w))|(?<=\d)→(?=\d)", "to"),  # x→0
    rule(r"(?<=\w)→(?=\w)", DASH),
    rule(  # 240ms → 95ms
        r"(?<![^ \n\v])→(?![^ \n\v])",
        lambda m: (
            "to"
            if _IS_VALUE.search(m.string, 0, m.start())
            and _IS_VALUE_NEXT.match(m.string, m.end(), m.endpos)
            else DASH
        ),
        begins="→$",
        reach=1,
    ),
    rule("→", ""),
    rule(r"(?P<arrow>[↑↓])(?= ?[$€£]?\d)", lambda m: _ARROWS[m["arrow"]], begins="[↑↓]$", reach=1),
    rule("[↑↓]", ""),
    rule(
        rf"(?P<keys>[{''.join(_KEYS)}]+)[+-]?", lambda m: " ".join(_KEYS[key] for key in m["keys"])
    ),
    rule(
        r"(?<=\w)/(?=(?:second|minute|hour|day|night|week|month|year|person|user|serving"
        r"|portion|slice|piece|group|session|item|seat|room|head|mile|game|match)\b)",
        "per",
    ),
    rule(  # 18/min, 7:49/mi
        r"(?<=\d)/(?P<unit>min|sec|hr|h|wk|mo|yr|mi|km)(?!\w)",
        lambda m: f"per {(unit_names(m['unit']) or ('',))[0]}",
    ),
    rule(
        rf"(?<={LETTER}{{3}})/(?P<unit>mL|ml|dL|L|kg|mg|km|cm|mm|ha|hr|h|min|yr|mo|wk|lb|oz|gal|s)(?!\w)",
        lambda m: f"per {(unit_names(m['unit']) or ('',))[0]}",
    ),
    rule(  # L/100 km, mL/min/1.73 m²
        r"(?<=[A-Za-z])/(?=(?:1\.73|10+|1,000|10{1,2},000) ?(?:km|mi|m\^?2|m[lL]|dL|k?g|h|people"
        r"|persons|residents|inhabitants|births|women|men|days)(?!\w))"
        r"|(?<=mg)/(?=\d+(?:\.\d+)? ?m[lL](?!\w))",
        "per",
        begins=r"/\d[\d.,]*$",
        reach=1,
    ),
    rule(r"(?<![^ \n\v(])!(?=[a-zA-Z(])", "not"),
    rule(r"(?<=(?i:select) )\*|(?<=\()\*(?=\))", "star"),
    rule(r"(?<!\w)[$€£]{2,}(?!\w)", ""),
    rule(r"\$(?=\(?[A-Za-z_]{2})", "dollar"),
    rule("§§", "sections"),
    rule("¶¶", "paragraphs"),
    rule("##+", ""),
    rule("==+", "equals"),
    rule("!==?", "is not equal to"),
    rule(
        r"(?<=[a-z\d)])\*\*(?=\d)|(?<=(?<!\w)\w )\*\*(?= \d)",
        "to the power of",
        begins=r"\*\*$",
        reach=1,
    ),
    rule("&&", "and"),
    rule(r"\|\|", "or"),
    rule(r"(?<![^ \n\v(\"'])-(?=[a-zA-Z](?!\w))", "dash"),
    rule(r"(?<![^ \n\v(\"'])--(?=[a-z])", "dash dash"),
    rule(
        rf"(?<![^ \n\v(\"'])-(?P<flags>{CONSONANT}{{2,4}}|[ahl]{{2,3}})(?!\w)",
        lambda m: f"dash {spell(m['flags'])}",
    ),
    # 180C/350F, 220°C/gas 7, 72°/58°
    rule(r"(?<=\d[CF])/(?=\d)|(?<=°)/(?=\d+°)|(?<=[A-Z]T)/(?=\d)|(?<=[CF])/(?=[Gg]as(?!\w))", ","),
    rule(r"(?<!\S\d)(?<=\d)/(?=[$€£]\d)", "for"),  # 3/$5
    rule(r"(?<=[a-z])/(?=[$€£]\d)|(?<=[a-z]\.)/(?=\d)", ","),
    rule(r"(?<=(?<!\w)[A-F])[-−](?=[,.;:!?)]| |$)", "minus"),  # a B-
    rule(r"(?<=[a-z])--(?=[;)])", "minus minus"),
    rule(r"(?<=\d)★(?= [a-z])", "star", begins="★$", reach=1),
    rule(r"(?<=\d)★", "stars"),
    rule("★+", ""),
    rule(r"(?<=\d)/(?=[$€£¥]\d|\d+\.\d)|(?<=\.\d)/(?=\d)", ","),
    rule(r"(?<= )/(?!\S)", DASH),
    rule(rf"(?<={LETTER}{LETTER})#|(?<=[a-z] )#(?![^ :])", "number"),  # ID#, order # is
    rule(rf"(?<=\b[A-G])#(?=m?\d{{0,2}}(?!\w))|(?<={LETTER})#(?!\w)", "sharp"),
    rule(r"#(?=[A-Z]{1,3}-?\d)", "number"),  # order #A-102
    rule(r"#s(?= \d)", "numbers", begins="#s$", reach=1),
    rule(
        r"#(?P<words>(?:[A-Z][a-z]+){2,})(?!\w)",
        lambda m: f"hashtag {' '.join(_CAPITALIZED.findall(m['words']))}",
    ),
    rule(rf"#(?={LETTER}|\d+[A-Za-z]{{3}})", "hashtag"),
    rule(rf"(?<={LETTER})\+\+", "plus plus"),
    rule(rf"(?<=\w)/(?={LETTER})|(?<={LETTER})/(?=\w)", ""),
    rule(r"[#*_~|<>^`/\\]+", ""),  # decoration
    rule(r"(?<!\w)-+(?=\w)|(?<=\w)['-]+(?=\w)|-+", ""),  # within or beside words
    rule(f"[{re.escape(''.join(SYMBOLS))}]", lambda match: SYMBOLS[match[0]]),
]
__all__ = ["DASH", "FIRST", "MARKS", "RULES", "SYMBOLS", "reduce_marks"]
