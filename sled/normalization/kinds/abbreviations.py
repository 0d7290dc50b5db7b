"""Abbreviations, with or without their full stop, and what a full stop behind them means.

Mr. and Mrs. Smith, Prof. Li  mister and missus Smith, professor Li
St. Paul, Wall St., Elm Dr.   saint Paul, Wall street, Elm drive
No. 7, p. 12, Apt. 4B, c. 1850  number seven, page twelve, apartment four B, circa ...
in the U.S. He came           the stop ends the sentence where the next word begins one
w/o, and/or, he/she, vs.      without, and or, he or she, versus
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization import numbers
from sled.normalization.kinds.calendar import SHORT_MONTHS, SHORT_WEEKDAYS
from sled.normalization.kinds.phones import STATES
from sled.normalization.kinds.roman import roman_value
from sled.normalization.kinds.sentences import SMALL_WORDS, starts_sentence
from sled.normalization.kinds.short_forms import (
    CHANGES,
    CHOICES,
    INNER,
    KEYS,
    NUMBERED,
    PER,
    PLACES,
    SIDES,
    SPELLED,
    STATE_NAMES,
    WITH_LETTER,
    WORDS,
)
from sled.normalization.pronunciations import frequent_words
from sled.normalization.rules import LETTER, LETTER_GAP, Rule, before, rule, spell, word_set

_NEXT = r"(?=(?P<quote>[\"')\]*_]*)(?: (?P<next>\S+)|$|(?P<joined>\S)))"


def _with_stop(words: str, match: Match[str]) -> str:
    """Words, and a full stop if the sentence ends with them."""
    if match["joined"]:  # another mark follows, or a letter without a space
        return words if match["joined"] in ".,;:!?" else words
    following = match["next"] or ""
    ends = starts_sentence(following) or (match["word"] == "etc" and following[:1].isupper())
    return f"{words}." if ends else words


def is_name(text: str) -> bool:
    """Whether a word is a name: it is capitalised, and is not one that often begins a sentence."""
    text = text.removesuffix("'s")
    return text.isalpha() and text[0].isupper() and text.lower() not in SMALL_WORDS


def _is_street(match: Match[str], previous: str) -> bool:
    """Whether St. or Dr. follows the name of a street."""
    following = (match["next"] or "").lstrip("\"'(")
    if match["word"] == "St":
        return is_name(previous) or re.fullmatch(r"\d+(?:st|nd|rd|th)", previous) is not None
    is_title = following[:1].isupper() and not starts_sentence(following)
    return is_name(previous) and not is_title


def _say_abbreviation(match: Match[str]) -> str | None:
    word, previous = match["word"], before(match)
    following = (match["next"] or "").lstrip("\"'(")
    if match["joined"] and match["joined"].isalpha():
        return None
    if word in PLACES and _is_street(match, previous):
        return _with_stop(PLACES[word], match)
    if word == "St":
        return "saint"
    if word in ("No", "no") and previous.lower() in _HAS_NUMBER:
        return _with_stop("number", match)
    if word == "Cir" and re.fullmatch(r"\(?\d+(?:st|nd|rd|th|d)", previous):
        return "circuit"
    if word == "Rd" and following[:1].isdigit() and not is_name(previous):
        return "round"
    if word in ("Fl", "fl") and re.fullmatch(r"\d+(?:st|nd|rd|th)", previous):
        return _with_stop("floor", match)
    if word in NUMBERED and (_is_number(word, following) or match["joined"] == ":"):
        return NUMBERED[word]
    if word == "Dr":
        return INNER[word]
    if word in STATE_NAMES and previous.endswith(",") and previous[:1].isupper():
        return _with_stop(STATE_NAMES[word], match)
    if word in WORDS:
        return _with_stop(WORDS[word], match)
    if word in SHORT_WEEKDAYS and (word != "Sun" or previous.lower() != "the") and word != "Sat":
        return _with_stop(SHORT_WEEKDAYS[word], match)
    if word == "Sat" and (
        not following or following[:1].isdigit() or following.rstrip(".,;:!?") in _BEHIND_SATURDAY
    ):
        return _with_stop("Saturday", match)
    return None


def _say_penalty(match: Match[str]) -> str | None:
    """A goal of football; without a point it may be a pen."""
    previous = match.string[: match.start()].rstrip(" (").rpartition(" ")[2]
    is_goal = previous.endswith("'") or previous[-1:].isdigit() or is_name(previous)
    return "penalty" if match[0].endswith(".") or is_goal else None


_FEDERAL_RULES = {
    "Civ": "civil procedure",
    "Crim": "criminal procedure",
    "App": "appellate procedure",
    "Evid": "evidence",
}
_BEHIND_SATURDAY = word_set("and & to at or night morning afternoon evening")
_BEHIND_NUMBER = {"ed": "edition", "vol": "volume", "vols": "volumes", "est": "estimated"}
_HAS_NUMBER = word_set(
    "order account acct. part model serial phone tel. tracking invoice reference ref. item policy "
    "confirmation case ticket flight registration"
)


_COORDINATES = ("lat", "lon", "long")


def _is_number(word: str, following: str) -> bool:
    if word.lower() in _COORDINATES:
        return re.match(r"[-−]?\d+(?:\.\d+)?°|[-−]?\d+\.\d", following) is not None
    if following == "of" and word in ("No", "no"):
        return True
    if word.lower() in ("max", "min") and following[:1] in ("$", "€", "£"):
        return True
    if following.lstrip("#+(")[:1].isdigit() or (
        word in ("No", "no") and re.match(r"[A-Z]{1,4}-?\d", following)
    ):
        return True
    if _SMALL_ROMAN.fullmatch(following.rstrip(".,;:!?)")) and word in _IN_BOOKS:
        return True
    if word.lower() in ("max", "min") and following[:1].islower():  # Max. weight
        return True
    bare = following.rstrip(".,;:!?)\"'")
    return word in WITH_LETTER and (
        (roman_value(bare) > 0 and bare != "I") or re.fullmatch(r"[A-HJ-Z]\d*", bare) is not None
    )


# Pages and scenes have Roman numerals in small letters, too.
_SMALL_ROMAN = re.compile("[ivxl]+(?:-[ivxl]+)?")
_IN_BOOKS = ("p", "pp", "Sc", "sc", "Ch", "ch", "Vol", "vol")


def _say_numbered(match: Match[str]) -> str | None:
    """No.5, p.12: a number follows without a space."""
    return NUMBERED.get(match["word"])


def is_epithet(word: str) -> bool:
    """Whether a word is the second one of the name of a species: the coli of E. coli."""
    word = word.rstrip(".,;:!?)\"'")
    if word in _EPITHETS:
        return True
    return _LATIN.fullmatch(word) is not None and not frequent_words().find(word)


_EPITHETS = word_set(
    "coli aureus elegans sapiens rex erectus difficile pestis sativa canis melanogaster falciparum"
)
_LATIN = re.compile(
    r"[a-z]{3,}(?:us|is|um|ae|ii|ans|ens|osa|ata|ica|ina|ana|ola|oides|ella|iae|iensis|gaster|io|ri)"
)


def _say_initial(match: Match[str]) -> str | None:
    """A letter with a full stop, as in J. Smith; with I too many sentences end."""
    letter, following = match["word"], (match["next"] or "").lstrip("\"'(")
    previous = before(match)
    if letter in SIDES and re.fullmatch(r"(?:[A-Z]{1,2}-)?\d+", previous):
        return _with_stop(SIDES[letter], match)
    if letter in SIDES and re.match(r"\d+(?:st|nd|rd|th)\b|of\b", following):
        return SIDES[letter]
    if re.match(r"[A-Z]\.", following):
        return spell(letter) + LETTER_GAP
    is_inner = following[:1].isupper() and not starts_sentence(following)
    if is_epithet(following):
        return spell(letter) + LETTER_GAP
    if re.fullmatch(r"[A-Z]\.", previous):
        return spell(letter) + LETTER_GAP if is_inner else _with_stop(spell(letter), match)
    return spell(letter) + LETTER_GAP if is_inner and letter != "I" else None


def _say_dotted_letters(match: Match[str]) -> str | None:
    text = match["word"]
    if text in INNER:
        return INNER[text]
    if text in PER and re.search(r"[$€£¥%]", before(match)):
        return _with_stop(PER[text], match)
    if text in ("P.S", "N.B"):
        return spell(text.replace(".", "")) + "."
    return _with_stop(WORDS.get(text) or spell(text.replace(".", "")), match)


def _say_open(match: Match[str]) -> str | None:
    word, previous = match["word"], before(match)
    if word == "St":
        is_street = is_name(previous) or re.search(r"\d(?:st|nd|rd|th)$", previous) is not None
        return "street" if is_street else "saint"
    if (
        word == "Dr"
        and is_name(previous)
        and not re.match(" [A-Z]", match.string[match.end() : match.endpos])
    ):
        return "drive"
    if word in ("Ave", "Blvd", "Rd", "Hwy", "Pkwy", "Ln"):
        return (
            WORDS[word]
            if is_name(previous) or re.search(r"\d(?:st|nd|rd|th)?$", previous)
            else None
        )
    return INNER.get(word) or WORDS.get(word)


def _say_open_numbered(match: Match[str]) -> str | None:
    """Rm 4, Flt BA 286, lon -0.1278, but not: how long 5 km are."""
    word, following = match["word"], match.string[match.end() + 1 : match.endpos]
    if word.lower() in _COORDINATES and not re.match(r"-?\d+\.\d\d", following):
        return None
    return NUMBERED[word] if word == "Flt" or following[0] in "#-0123456789" else None


def _is_numbered_generation(match: Match[str]) -> bool:
    """The 2nd Gen. iPad."""
    return match["word"] == "Gen" and re.search(r"\d(?:st|nd|rd|th)$", before(match)) is not None


def _say_owner(match: Match[str]) -> str | None:
    """The U.S.'s, Co.'s."""
    word = match["word"]
    if "." in word or len(word) == 1:
        return spell(word.replace(".", "")) + "'s"
    words = WORDS.get(word) or INNER.get(word)
    return f"{words}'s" if words else None


_NEEDS_NEXT = "|".join(sorted({"St", "Dr", *NUMBERED, *WORDS, *STATE_NAMES, *SHORT_WEEKDAYS}))
_TITLES = "Mr|Mrs|Ms|Dr|St|Ave|Blvd|Rd|Hwy|Pkwy|Ln|vs|etc"
_KEY = "(?i:ctrl|control|cmd|command|alt|option|shift|fn|win)"
_OPEN = rf"{_TITLES}|et|{_KEY}|AKA|aka|{'|'.join(SPELLED)}|{'|'.join(CHANGES)}"
_OPEN_NUMBERED = "(?:Hwy|ext|Rte?|[Rr]m|Ste|Apt|Bldg|Vol|Fig|Eq|Chap|Flt|[Ll]at|[Ll]ong?)"
BEGINS = rf"(?=\S*[./])|[DRI]-|(?:{_OPEN})(?!\w)|(?:Mk|{_OPEN_NUMBERED}|pen|og|OG)(?!\w)"
RULES: list[Rule] = [
    # Reports of courts: 93 S. Ct. 705, 12 F. Supp. 2d 44, 550 F.3d 1023.
    rule(r"(?<=\d )S\. ?Ct\.", "supreme court", begins=r"S\.$", reach=1),
    rule(
        r"(?<=\d )F\.(?P<supplement> ?Supp\.)?(?: ?(?P<series>[2-4])d(?!\w))?",
        lambda m: (
            spell("F")
            + ("supp " if m["supplement"] else "")
            + (numbers.ordinal(m["series"]) if m["series"] else "")
        ),
        begins=r"F\.",
        reach=2,
    ),
    rule(rf"(?<![\w.])(?P<word>(?:[A-Za-z]\.)*[A-Za-z]|{LETTER}+|Ph\.D)\.'s(?!\w)", _say_owner),
    rule(
        r"(?<!\w)(?P<word>et al)\." + _NEXT,
        lambda m: _with_stop("and others", m),
        begins="et$",
        reach=2,
        goes_on=r"al\..*",
    ),
    rule(
        rf"(?<![\w.])(?P<word>(?:[A-Za-z]\.)+[A-Za-z]|Ph\.D|M\.Sc|B\.Sc)\.{_NEXT}",
        _say_dotted_letters,
        begins=r"[A-Za-z]+\.[A-Za-z]",
        reach=1,
    ),
    rule(r"(?<![\w.])(?:[A-Za-z]\.){2,}", lambda m: spell(m[0].replace(".", ""))),
    rule(
        rf"(?<![\w'.])(?P<word>[A-Z])\.{_NEXT}",
        _say_initial,
        begins=r"[A-Z]\.",
        reach=1,
    ),
    rule(r"(?<!\w)Ex\.(?= [A-Z](?!\w))", "exhibit", begins=r"Ex\.$", reach=1),
    rule(r"(?<=\w )(?:d|def)\.(?= [A-Z][a-z])", "defeated", begins=r"(?:d|def)\.$", reach=1),
    rule(r"(?<=\()pen\.?(?=[,)])|(?<=' )pen\.?(?=[,;)])", _say_penalty),  # Messi 23' (pen.)
    rule(r"(?<=\()(?:og|OG|o\.g\.)(?=[,)])", "own goal"),
    rule(  # Fed. R. Civ. P. 12
        r"(?<!\w)Fed\. R\. (?P<of>Civ|Crim|App|Evid)\.(?: P\.)?(?!\w)",
        lambda m: f"federal rule of {_FEDERAL_RULES[m['of']]}",
        begins=r"Fed\.$",
        reach=3,
    ),
    rule(
        r"(?<!\w)Rev\.(?= (?:[A-Z]|\d[\d.]*)(?![\w.]))",
        "revision",
        begins=r"Rev\.$",
        reach=1,
    ),
    rule(r"(?<!\w)Mk(?= (?:[IVX]+|\d+)(?!\w))", "mark", begins="Mk$", reach=1),
    rule(r"(?<!\w)Gen\.(?= (?:X|Y|Z|Alpha)\b)", "generation", begins=r"Gen\.$", reach=1),
    rule(rf"(?<![\w'])(?P<word>{LETTER}+)\.(?=\d)", _say_numbered),
    rule(  # Wi-Fi incl.
        r"(?<!\w)incl\.(?=[,;)]|$)", "included", begins=r"incl\.", reach=1
    ),
    rule(
        rf"(?<![\w'.-])(?P<word>{'|'.join(sorted(INNER.keys() - {'Dr', 'e.g', 'i.e'}))})\.(?!\w)",
        lambda m: "generation" if _is_numbered_generation(m) else INNER[m["word"]],
    ),
    rule(
        rf"(?<![\w'.-])(?P<word>{_NEEDS_NEXT})\.{_NEXT}",
        _say_abbreviation,
        begins=rf"(?:{_NEEDS_NEXT})\.",
        reach=1,
    ),
    rule(
        rf"(?<![\w'.-])(?P<word>{_TITLES})(?![\w.'-])",
        _say_open,
        begins="Dr$",
        reach=1,
    ),
    rule(
        rf"(?<!\w)(?P<key>{_KEY}) ?\+ ?(?=\w)",
        lambda m: KEYS.get(m["key"].lower(), m["key"]),
        begins=rf"{_KEY}(?:$|\+)",
        reach=2,
        goes_on=r"\+",
    ),
    rule(
        rf"(?<!\w)(?P<word>{_OPEN_NUMBERED})(?= #?\d| [A-Z]{{2}} ?\d| -\d)",
        _say_open_numbered,
        begins=f"{_OPEN_NUMBERED}$",
        reach=2,
        goes_on="[A-Z]{2}",
    ),
    rule(
        r"(?<![\w.])(?<!\d )(?P<life>[bdm])\.(?= ?(?:1\d|20)\d\d(?!\d)"
        rf"| (?:{'|'.join(SHORT_MONTHS)})[a-z]*\.? \d)",
        lambda m: {"b": "born", "d": "died", "m": "married"}[m["life"]],
        begins=r"[bdm]\.$",
        reach=2,
        goes_on=r"[A-Z][a-z]+\.?",
    ),
    rule(r"(?<=[Tt]he )pop\.(?= [a-z])", "population", begins=r"pop\.$", reach=1),
    rule(r"(?<!\w)bus\.(?= days?\b)", "business", begins=r"bus\.$", reach=1),
    rule(  # 1st ed., 2 vols.
        r"(?<!\w)(?P<word>(?<=\d(?:st|nd|rd|th) )ed|(?<=\d )(?:vols?|est))\." + _NEXT,
        lambda m: _with_stop(_BEHIND_NUMBER[m["word"]], m),
        begins=r"(?:ed|vols?|est)\.",
        reach=1,
    ),
    rule(r"(?<!\w)ed\.(?= by\b)", "edited", begins=r"ed\.$", reach=1),
    rule(
        r"(?<!\w)ed\.(?= [A-Z]\w*\.?(?: [A-Z]|[,;)]|$))",
        "edited by",
        begins=r"ed\.$",
        reach=2,
        goes_on="[A-Z].*",
    ),
    rule(
        r"(?<!\w)Pt\.(?= (?:is|was|has|with|reports|denies|states|presents)\b)",
        "patient",
        begins=r"Pt\.$",
        reach=1,
    ),
    rule(r"(?<!\w)TL;DR(?!\w)", spell("TLDR")),
    rule(r"(?<!\w)v\.(?= [A-Z])", "versus", begins=r"v\.$", reach=1),
    rule(r"(?<!\w)(?:a\.k\.a|AKA|aka)\b\.?", lambda m: spell("AKA")),
    rule(rf"(?<!\w)(?:{'|'.join(SPELLED)})(?![\w']|\.(?!\.))", lambda m: spell(m[0])),
    rule(
        rf"(?<!\w)(?P<word>{'|'.join(CHANGES)})(?!\w)(?:\.(?= [a-z\d]))?",
        lambda m: CHANGES[m["word"]],
        begins=rf"(?:{'|'.join(CHANGES)})\.$",
        reach=1,
    ),
    rule(r"(?<!\w)r\.(?= ?\d{3,4}-\d)", "reigned", begins=r"r\.$", reach=1),
    rule(  # (D-Calif.)
        rf"(?<!\w)(?P<party>[DRI])-(?:(?P<state>{'|'.join(WORDS)})\.|(?P<code>{'|'.join(STATES)})\b)",
        lambda m: f"{spell(m['party'])}, {WORDS.get(m['state']) or STATES[m['code']]}",
    ),
    rule(r"(?<!\w)w/e(?= \d)", "week ending", begins="w/e$", reach=1),
    rule(r"(?<!\w)w/(?!(?:[oce]|in)\b)", "with"),
    rule(r"(?<![\w/])(?P<kind>[ru])/(?=\w{3})", lambda m: f"{spell(m['kind'])}slash"),
    rule(rf"(?<!\w)(?:{'|'.join(map(re.escape, CHOICES))})(?![\w/])", lambda m: CHOICES[m[0]]),
]
