"""The characters of a written text in the plain alphabet that the rules of `kinds` read.

The plain alphabet has ASCII, Latin letters with their accents, single Greek letters, and the signs
of SIGNS. Quotes, dashes, digits, arrows and composed characters have one form each. Pictures are
left out silently. What else cannot be said is left out too, and is reported.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

DASH = "—"  # a pause between two words
# Signs outside ASCII that a rule reads.
SIGNS = frozenset("°§¶©№×÷±√∞≈≠≤≥≡∝∈∉⊂⊆∪∩∅∀∃∑∏∫∂∴∧∨¬★♭−·‰¢£€¥₹₩₽₺₫₪₴₦₱฿₿₡₲₵₸₮₭→↑↓⌘⌥⇧⌃")

_FORMS = (
    dict.fromkeys("“”„‟«»″〝〞", '"')
    | dict.fromkeys("‘’‚‛‹›`´′ʼ", "'")
    | dict.fromkeys("‐‑‒", "-")
    | dict.fromkeys("―", "—")
    | dict.fromkeys("{", "(")
    | dict.fromkeys("}", ")")
    | dict.fromkeys("⋅∙", "·")
    | dict.fromkeys("⁄∕", "/")
    | dict.fromkeys("∗＊", "*")
    | dict.fromkeys("。۔।｡", ".")
    | dict.fromkeys("،、", ",")
    | {
        "؟": "?",
        "؛": ";",
        "º": "°",
        "∛": "^3√",
        "∜": "^4√",
        "Ω": "Ω",
        "µ": "μ",
        "≅": "≈",
        "∼": "~",
        "ª": "a",
    }
    | dict.fromkeys("⇒⟶➜➔➡", "→")
    | dict.fromkeys("▲🔺⬆", "↑")
    | dict.fromkeys("▼🔻⬇", "↓")
    | {"∛": "^3√", "∜": "^4√", "⭐": "★", "♯": "#"}
    | dict.fromkeys("™®℠℗\u00ad", "")
)
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n", strict=True))
_SUPERSCRIPT = "".join(_SUPERSCRIPTS)
_FRACTION = re.compile("[¼-¾⅐-⅞↉]")
# Emoji, arrows, bullets, ticks and the like.
_PICTURE = re.compile(
    "[\u2022\u2023\u2043\u25e6\u20e3\u2139\u2190-\u21ff\u2300-\u23ff\u2500-\u27bf\u27f0-\u27ff"
    "\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299\ufe0e\ufe0f\U0001f000-\U0001faff"
    "\U000e0020-\U000e007f]"
)
_JOINERS = "\u200d\ufe0e\ufe0f\u20e3\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
_NO_BREAK = "\u00a0\u2007\u2009\u202f"

_THOUSANDS = re.compile(rf"(?<=\d)[{_NO_BREAK}_'](?=\d\d\d(?!\d))")
_MIXED = re.compile(r"(?<=\w)(?=\u2063\d)|(?<=\d\u2063)(?=[^\W\d_])")
_DAYS_AND_MONTHS = "mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_RANGE = re.compile(
    r"(?<=[\w.%°$€£'\"])–(?=[-−]?[$€£¥#]?\d)"
    r"|(?<=\d0s)–(?='?\d)|(?<=\d[a-h])–(?=[a-h]\b)|(?<=\b[MTWF])–(?=(?:Tu|Th|Sa|Su)\b)"
    r"|(?<=\bTu)–(?=\w)|(?<=\bTh)–(?=\w)|(?<=\bSa)–(?=Su\b)|(?<=noon)–(?=\d)|(?<=midnight)–(?=\d)|(?<=\d)–(?=\w)|(?<=\b[A-Z])–(?=[A-Z\d]\b)"
    r"|(?<=(?i:[ap]m))–(?=\w)|(?<=\bBC)–(?=\d)|(?<=\bBCE)–(?=\d)"
    rf"|(?<=(?i:{_DAYS_AND_MONTHS}))–(?=\w)|(?<=(?i:{_DAYS_AND_MONTHS})\.)–(?=\w)"
    r"|(?<=[IVX])–(?=[IVX])|(?<=\b[ivx])–(?=[ivx]+\b)|(?<=[ivx][ivx])–(?=[ivx]+\b)"
)
_DASH = re.compile(r"[—–]|(?!^[\"'(]*--[a-z]|(?<=[a-z])--[;)])--+")
_ARROW = re.compile(r"<?[-=]+>|<[-=]{2,}(?!\w)|<-(?=[A-Za-z\s]|$)")
_ARROW_ALONE = re.compile(r"[→⇒⟶➜➔➡]\ufe0f?|->|=>")
_GREEK_WORD = re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]{3,}")


@dataclass(frozen=True)
class Traced:
    """A text whose characters know where in another text they come from.

    Attributes:
        text: The text.
        starts: For each of its characters, where its source begins.
        ends: For each of its characters, where its source ends.
    """

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def moved(self, num_characters: int) -> Traced:
        """The same text from another place."""
        starts = tuple(place + num_characters for place in self.starts)
        return Traced(self.text, starts, tuple(place + num_characters for place in self.ends))

    def stripped(self) -> Traced:
        """The text without spaces around it."""
        first = len(self.text) - len(self.text.lstrip(" "))
        text = self.text.strip(" ")
        part = slice(first, first + len(text))
        return Traced(text, self.starts[part], self.ends[part])

    def sub(self, pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str]) -> Traced:
        """Replace all matches; what replaces a match comes from all of it."""
        matches = list(pattern.finditer(self.text))
        if not matches:
            return self
        text, starts, ends, at = "", list[int](), list[int](), 0
        for match in matches:
            new, (first, last) = replace(match), match.span()
            text += self.text[at:first] + new
            starts += self.starts[at:first]
            ends += self.ends[at:first]
            span = (self.starts[first], self.ends[last - 1]) if last > first else (0, 0)
            if last == first:
                place = self.starts[first] if first < len(self.text) else self.ends[first - 1]
                span = place, place
            starts += [span[0]] * len(new)
            ends += [span[1]] * len(new)
            at = last
        return Traced(text + self.text[at:], (*starts, *self.starts[at:]), (*ends, *self.ends[at:]))


def plain(run: str) -> tuple[Traced, str]:
    """The characters of a run between two spaces in the plain alphabet.

    Returns:
        The plain text, which may have spaces inside, and the characters that cannot be said.
    """
    if run == "–":
        run = "-"
    if _ARROW_ALONE.fullmatch(run):
        return Traced("→", (0,), (len(run),)), ""
    if run.isascii() and not _SPECIAL.search(run):
        places = range(len(run))
        return Traced(run, tuple(places), tuple(place + 1 for place in places)), ""
    text, starts, ends, unspoken = "", [], [], ""
    for start, end in _clusters(run):
        cluster = run[start:end]
        form, spoken = _form(cluster)
        if not spoken:
            unspoken += cluster
        text += form
        starts += [start] * len(form)
        ends += [end] * len(form)
    traced = Traced(text, tuple(starts), tuple(ends))
    for match in _GREEK_WORD.finditer(text):
        unspoken += match[0]
    traced = traced.sub(_GREEK_WORD, lambda match: _LEFT_OUT)
    traced = traced.sub(_BETWEEN_WORDS, lambda match: " ").sub(_GAP, lambda match: "")
    traced = traced.sub(_THOUSANDS, lambda match: "")
    traced = traced.sub(_MIXED, lambda match: " ").sub(_MARKER, lambda match: "")
    traced = traced.sub(_POWER, _say_power)
    traced = traced.sub(_ARROW, lambda match: " ")
    traced = traced.sub(_RANGE, lambda match: "-")
    traced = traced.sub(_DASH, lambda match: f" {DASH} ")
    return traced.sub(_SPACES, lambda match: " "), unspoken


_SPECIAL = re.compile(r"[`{}\x00-\x1f\x7f]|--|\d[_']\d|<?[-=]>|<[-=]")
_LEFT_OUT = "\u2064"
_BETWEEN_WORDS = re.compile(rf"(?<=[\w.,;:!?]){_LEFT_OUT}+(?=\w)")
_GAP = re.compile(_LEFT_OUT)
_MARKER = re.compile("\u2063")
_POWER = re.compile(f"[{_SUPERSCRIPT}]+")
_SPACES = re.compile(rf"[\s{_NO_BREAK}]+")


def _say_power(match: re.Match[str]) -> str:
    return "^" + "".join(_SUPERSCRIPTS[sign] for sign in match[0])


def _clusters(run: str) -> list[tuple[int, int]]:
    """The spans of characters with their combining marks and joiners."""
    spans: list[tuple[int, int]] = []
    for place, char in enumerate(run):
        if spans and (unicodedata.combining(char) or char in _JOINERS):
            spans[-1] = (spans[-1][0], place + 1)
        else:
            spans.append((place, place + 1))
    return spans


@lru_cache(maxsize=10_000)
def _form(cluster: str) -> tuple[str, bool]:
    """The plain form of a character with its marks, and whether it is read or is only a picture."""
    char = unicodedata.normalize("NFC", cluster)
    if char[0].isascii() and len(char) > 1 and any(joiner in char for joiner in _JOINERS):
        char = char[0]  # a digit in a box
    if char in _FORMS:
        return _FORMS[char], True
    if char in _SUPERSCRIPTS or char in SIGNS or char in "—–":
        return char, True
    if char in _NO_BREAK or char.isspace() or char[0] < " ":
        return char if char in _NO_BREAK else " ", True
    if char.isascii():
        return char, True
    if _FRACTION.fullmatch(char):
        parts = unicodedata.normalize("NFKD", char).split("\u2044")
        return f"\u2063{parts[0]}/{parts[1]}\u2063", True
    if _PICTURE.match(char[0]):
        return _LEFT_OUT, True
    digit = unicodedata.decimal(char[0], None)
    if digit is not None:
        return str(digit), True
    if len(char) > 1:  # marks that do not compose
        char = unicodedata.normalize("NFC", char[0])
    compatible = unicodedata.normalize("NFKC", char)
    if compatible != char and all(_is_plain(one) for one in compatible):
        return compatible, True
    if _is_plain(char):
        return char, True
    category = unicodedata.category(char)
    if category in ("Cf", "Mn", "Me", "Sk", "Lm"):
        return "", True
    return _LEFT_OUT, category in ("Po", "Pd", "Ps", "Pe", "Pi", "Pf", "Pc", "Cc", "Zl", "Zp")


def _is_plain(char: str) -> bool:
    if char.isascii() or char in SIGNS or char in _FORMS:
        return True
    name = unicodedata.name(char, "")
    return char.isalpha() and name.startswith(("LATIN", "GREEK"))


_LETTERS = {
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O",
    "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th",
    "ı": "i", "ħ": "h", "Ħ": "H", "ŋ": "ng", "Ŋ": "Ng", "ſ": "s", "ə": "e", "Ə": "E",
    "ŧ": "t", "Ŧ": "T", "ĸ": "k", "ŀ": "l", "ŉ": "n", "ƒ": "f",
}  # fmt: skip


def without_accents(text: str) -> str:
    """Latin letters without accents and ligatures: Łódź is Lodz, straße is strasse."""
    if text.isascii():
        return text
    text = "".join(_LETTERS.get(char, char) for char in text)
    return "".join(char for char in unicodedata.normalize("NFKD", text) if char.isascii())
