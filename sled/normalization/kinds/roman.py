"""Roman numerals.

Henry VIII, Pope Pius X      Henry the eighth, Pope Pius the tenth (names of rulers)
the XIX century              the nineteenth century
Act II, Scene iii, Vol. III  act two, scene three, volume three (after words that count)
Rocky IV, Super Bowl LVIII   Rocky four, Super Bowl fifty-eight (after other names)
Section IV.2, World War II   section four point two, world war two
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization import numbers
from sled.normalization.kinds.sentences import SMALL_WORDS
from sled.normalization.rules import Rule, before, rule, word_set

_ROMAN = re.compile(r"(?=.)(?:L|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50}

# Words that are followed by a numeral that counts.
COUNTED = word_set(
    "act acts appendix article batch book canto chapter class column division episode exhibit "
    "figure form game generation grade group lesson level mark mk number no nos part phase "
    "plan platform round scene schedule season section series stage step super table test "
    "tier title type unit version volume vol vols wave war week year ch sec fig art pt pts ep "
    "bowl quarter sc p pp page pages parts chapters wars volumes phases"
)
_ORDERED = "century|centuries|dynasty|olympiad|congress|amendment|corps|army|legion|millennium"
_TITLES = word_set(
    "king queen pope emperor empress tsar czar prince princess kaiser sultan pharaoh shah "
    "duke count saint st"
)
_RULERS = word_set(
    "albert alexander alfonso amenhotep baldwin benedict boniface carl carlos casimir "
    "catherine charles christian clement cleopatra constantine darius edward elizabeth felipe "
    "ferdinand francis frederick friedrich george gregory gustav haakon harald henri henry "
    "innocent ivan james john juan julius justinian leo leopold louis ludwig malcolm manuel "
    "margrethe mary mehmed mohammed mohammad murad napoleon nicholas olaf otto paul pedro "
    "peter philip philippe pius ptolemy ramesses ramses richard robert rudolf selim sixtus "
    "stephen suleiman theodosius thutmose umberto urban victor victoria vladislaus wilhelm "
    "willem william xerxes"
)
# Read as words or letters where nothing says that they count.
_NO_NUMERALS = {"I", "V", "X", "L", "XL", "LI", "XX", "XXX", "LIV", "LV"}
# Nothing else than numerals.
_ALWAYS = {"II", "III", "VII", "VIII", "XII", "XIII", "XVII", "XVIII"}
# Words behind which a lone X is a letter: Series X, generation X.
_WITH_X = {"series", "generation", "gen", "model"}
_AFTER_FIRST = (
    r"(?=$|\.(?! [A-Z])|[,;:!?)]|'s\b"
    r"| (?:of|and|the|in|on|to|who|as|from|with|by|is|was|were|had|has|died"
    r"|became|ruled|reigned)\b)"
)


def roman_value(text: str) -> int:
    """The value of a Roman numeral below 90 in capitals; 0 for no numeral."""
    if not _ROMAN.fullmatch(text):
        return 0
    values = [_VALUES[letter] for letter in text]
    following = [*values[1:], 0]
    return sum(-one if one < two else one for one, two in zip(values, following, strict=True))


_PERSON = re.compile(r"[A-Z]\.|(?:Mr|Dr|Sen|Rep|Gov|Lt|Col|Gen|Prof)\.?")


def _is_name(word: str) -> bool:
    return word[:1].isupper() and word.rstrip("'s").isalpha() and word.lower() not in SMALL_WORDS


def _say(match: Match[str]) -> str | None:
    text, previous = match["numeral"], before(match)
    value = roman_value(text.upper())
    if not value or not (text.isupper() or text.islower()):
        return None
    word = previous.rstrip(".").lower().lstrip("(\"'")
    counts = word in COUNTED
    if text == "X" and word in _WITH_X:
        return None
    if previous.startswith("No") and text == "I":
        return None
    if match.string[match.start() - 1 : match.start()] == "§":
        return _with_part(match, value)
    if text.isupper() and _is_in_list(match, previous, value):
        return _with_part(match, value)
    if text.isupper() and _is_one_of_several(match, previous):
        return _with_part(match, value)
    is_numeral = text != "I" if text.isupper() else len(text) > 1
    if counts and (previous[:1].isupper() or is_numeral):
        return _with_part(match, value)
    if not text.isupper():
        return None
    if re.match(rf" (?i:{_ORDERED})\b", match.string[match.end() : match.endpos]):
        return numbers.ordinal(value)
    names = before(match, 3).split()
    if previous.lower() in _RULERS and previous[:1].isupper():
        has_title = bool({name.lower() for name in names[:-1]} & _TITLES)
        if text == "I" and not has_title and not _is_first(match):
            return None
        if text in ("X", "L") and not has_title:
            return None
        return f"the {numbers.ordinal(value)}"
    if value > 1 and any(_PERSON.fullmatch(name) for name in names[:-1]):
        return f"the {numbers.ordinal(value)}"  # James T. Reed III
    if text in _ALWAYS:
        return _with_part(match, value)
    if text in _NO_NUMERALS or not _is_name(previous) or previous.isupper():
        return None
    return _with_part(match, value)


def _say_range(match: Match[str]) -> str | None:
    is_small = match["first"].islower()
    if is_small and before(match).lower().rstrip(".") not in ("p", "pp", "page", "pages"):
        return None
    first, last = (roman_value(match[name].upper()) for name in ("first", "last"))
    return f"{numbers.cardinal(first)} to {numbers.cardinal(last)}" if 0 < first < last else None


def _is_in_list(match: Match[str], previous: str, value: int) -> bool:
    """I, II, III and IV."""
    words = before(match, 2).split()
    if previous in ("and", "or", "to", "&"):
        previous = words[0]
    if value > 1:
        return roman_value(previous.rstrip(",;/")) == value - 1
    return _SECOND.match(match.string, match.end(), match.endpos) is not None


_SECOND = re.compile(r",? (?:(?:and|or|to|&) )?II(?!\w)")


def _is_one_of_several(match: Match[str], previous: str) -> bool:
    """World Wars I and II."""
    if previous.lower() in ("and", "or", "to", "&"):
        words = before(match, 3).split()
        return len(words) == 3 and bool(roman_value(words[1])) and words[0].lower() in COUNTED
    following = match.string[match.end() : match.endpos]
    return (
        previous.lower() in COUNTED
        and re.match(r" (?:and|or|to|&) [IVX]+\b", following) is not None
    )


def _is_first(match: Match[str]) -> bool:
    """Whether the I after the name of a ruler is no pronoun."""
    return re.match(_AFTER_FIRST, match.string[match.end() : match.endpos]) is not None


def _needs_next(text: str, at: int, end: int) -> bool:
    """Whether the next word decides: the numeral stands behind a ruler's name, or after "the"."""
    if text[at:end] == "I,":
        return True
    if not re.fullmatch(r"[IVXL]+", text[at:end]):
        return False
    previous = text[max(0, at - 64) : at].rstrip(" ").rpartition(" ")[2].lower()
    return previous in _RULERS or end - at > 1


def _with_part(match: Match[str], value: int) -> str:
    said = numbers.cardinal(value)
    return f"{said} point {numbers.number(match['part'])}" if match["part"] else said


def _say_year(match: Match[str]) -> str | None:
    values = [_YEAR_VALUES[letter] for letter in match[0]]
    pairs = zip(values, [*values[1:], 0], strict=True)
    year = sum(-one if one < two else one for one, two in pairs)
    return numbers.year(str(year)) if len(match[0]) > 3 else None


_YEAR_VALUES = _VALUES | {"C": 100, "D": 500, "M": 1000}
BEGINS = "[IVXLMivxl]"
RULES: list[Rule] = [
    rule(
        r"(?<![\w.-])MM?(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})(?![\w-])",
        _say_year,
    ),
    rule(
        r"(?<![\w.-])(?P<numeral>[IVXL]+|[ivxl]+)(?![\w-])(?:\.(?P<part>\d+)(?![\w.]))?",
        _say,
        begins=_needs_next,
        reach=2,
        goes_on="and|or|to|&",
    ),
    rule(
        r"(?<![\w.-])(?:(?P<first>[IVXL]+|[ivxl]+)-(?P<last>[IVXL]+|[ivxl]+))(?![\w-])",
        _say_range,
    ),
    rule(  # (ii) in a list, § 4.2(a)(iii)
        r"(?<=\()(?:(?<![^ \n\v]\()|(?<=[\d)]\())"
        r"(?P<numeral>i{1,3}|iv|vi{0,3}|ix|xi{1,3})(?=\)(?!\w))",
        lambda m: numbers.cardinal(roman_value(m["numeral"].upper())),
    ),
    rule(
        r"(?<![\w.-])(?P<numeral>[IVX]+)(?:st|nd|rd|th)(?!\w)",
        lambda m: numbers.ordinal(roman_value(m["numeral"])) if roman_value(m["numeral"]) else None,
    ),
]
