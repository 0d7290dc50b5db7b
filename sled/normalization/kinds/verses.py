"""Verses of the Bible.

Ps. 23:1-6, 1 Cor. 13:4   psalm twenty-three one to six, first corinthians thirteen four
Matthew 5:3, Acts 2       Matthew five three, Acts two
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization import numbers
from sled.normalization.rules import Rule, rule, word_table

_SHORT = word_table(
    "Gen=Genesis Ex=Exodus Exod=Exodus Lev=Leviticus Num=Numbers Deut=Deuteronomy Dt=Deuteronomy "
    "Josh=Joshua Judg=Judges Sam=Samuel Kgs=Kings Chr=Chronicles Chron=Chronicles Neh=Nehemiah "
    "Esth=Esther Ps=Psalm Pss=Psalms Psa=Psalm Prov=Proverbs Eccl=Ecclesiastes Eccles=Ecclesiastes "
    "Isa=Isaiah Jer=Jeremiah Lam=Lamentations Ezek=Ezekiel Dan=Daniel Hos=Hosea Obad=Obadiah "
    "Jon=Jonah Mic=Micah Nah=Nahum Hab=Habakkuk Zeph=Zephaniah Hag=Haggai Zech=Zechariah "
    "Mal=Malachi Matt=Matthew Mt=Matthew Mk=Mark Lk=Luke Jn=John Rom=Romans Cor=Corinthians "
    "Gal=Galatians Eph=Ephesians Phil=Philippians Col=Colossians Thess=Thessalonians Tim=Timothy "
    "Tit=Titus Philem=Philemon Heb=Hebrews Jas=James Pet=Peter Rev=Revelation"
)
_LONG = sorted(
    {*_SHORT.values()}
    | {
        "Joel",
        "Amos",
        "Qur'an",
        "Quran",
        "Koran",
        "Surah",
        "Job",
        "Ruth",
        "Ezra",
        "Acts",
        "Jude",
        "Song of Songs",
        "Judges",
        "Kings",
    }
)
_BOOK = rf"(?:{'|'.join(_LONG)}|(?:{'|'.join(_SHORT)})\.?)"
_ORDINALS = {"1": "first", "2": "second", "II": "second", "3": "third", "III": "third"}
_NUMBERED = r"(?:Samuel|Sam|Kings|Kgs|Chronicles|Chron|Chr|Corinthians|Cor|Thessalonians|Thess"
_NUMBERED += r"|Timothy|Tim|Peter|Pet|John|Jn|Jn)\.?"


def _say_verses(match: Match[str]) -> str:
    book = match["book"].removesuffix(".")
    said = _SHORT.get(book, book)
    if match["ordinal"]:
        said = f"{_ORDINALS[match['ordinal']]} {said}"
    said += f" {numbers.cardinal(match['chapter'])} {numbers.cardinal(match['verse'])}"
    if match["last_chapter"]:
        last = numbers.cardinal(match["last_chapter"])
        return f"{said} to {last} {numbers.cardinal(match['last'])}"
    return f"{said} to {numbers.cardinal(match['last'])}" if match["last"] else said


def _say_numbered(match: Match[str]) -> str:
    """1 Corinthians, without a verse."""
    book = match["book"].removesuffix(".")
    return f"{_ORDINALS[match['ordinal']]} {_SHORT.get(book, book)}"


# Books with a point, before a chapter alone.
_CHAPTERS = "Matt|Rom|Ps|Pss|Prov|Isa|Jer|Ezek|Deut|Lev|Eccl|Heb|Eph|Exod|Josh|Neh|Zech"


def _say_chapter(match: Match[str]) -> str:
    return _SHORT[match["book"]]


BEGINS = rf"(?:[123]|III?)$|{_BOOK}$"
_VERSES = (
    r"(?P<chapter>[1-9]\d{0,2}):(?P<verse>[1-9]\d{0,2})"
    r"(?:-(?:(?P<last_chapter>[1-9]\d{0,2}):)?(?P<last>[1-9]\d{0,2}))?(?![\w:]|[.,]\d)"
)
RULES: list[Rule] = [
    rule(
        rf"(?<![\w.])(?:(?P<ordinal>[123]|III?) )?(?P<book>{_BOOK}) {_VERSES}",
        _say_verses,
        begins=rf"(?:[123]|III?|{_BOOK})$",
        reach=2,
        goes_on=lambda text: re.fullmatch(rf"(?:[123]|III?) {_BOOK}", text) is not None,
    ),
    rule(
        rf"(?<!\w)(?P<book>{_CHAPTERS})\.(?= \d{{1,3}}(?![\d:]))",
        _say_chapter,
        begins=rf"(?:{_CHAPTERS})\.$",
        reach=1,
    ),
    rule(
        r"(?<![\w.])(?P<ordinal>[123]) (?P<book>Cor|Corinthians|Thess|Thessalonians|Sam|Kgs|Chron"
        r"|Tim|Pet)(?:\.(?= ?[\d,;)])|(?![\w.]))",
        _say_numbered,
        begins=r"[123]$",
        reach=2,
        goes_on=lambda text: re.fullmatch(rf"[123] {_NUMBERED}", text) is not None,
    ),
]
