"""Lines of text as it is written today, and how a careful American reader says them.

`modern_text.jsonl` has a line each: its kind, what is written, and the right readings. The first
reading is the preferred one; a further one is there only where both are good.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

_TOKEN = re.compile(r"[a-z0-9]+(?:'[a-z]+)*|[.?!,;:]|[^\x00-\x7f]+")


@dataclass(frozen=True)
class Line:
    """A line of modern text.

    Attributes:
        kind: Where such lines are found: chat, mail, recipe, news, ...
        written: The line as it is written.
        said: The ways to say it that are right.
    """

    kind: str
    written: str
    said: tuple[str, ...]


def read_lines() -> list[Line]:
    """All lines, in the order of the file."""
    rows = map(json.loads, Path(__file__).with_suffix(".jsonl").read_text("utf-8").splitlines())
    return [Line(row["kind"], row["written"], tuple(row["said"])) for row in rows]


def words_of(said: str) -> list[str]:
    """The words that are heard: in small letters, without marks, and parts of compounds apart."""
    return [word for word in _tokens(said) if word not in ".?!,;:"]


def has_right_pauses(said: str, right: str) -> bool:
    """Whether sentences end where they should, given that the words are right.

    Where the right reading has a full stop, any mark makes a pause. Where it has no mark at all,
    there is no full stop. Commas, and dashes between spaces, are a matter of taste.
    """
    pairs = zip(_marks(said)[:-1], _marks(right)[:-1], strict=True)
    return all(ours if "." in theirs else theirs or "." not in ours for ours, theirs in pairs)


def _tokens(said: str) -> list[str]:
    said = said.lower().replace(" - ", " , ").replace("-", " ").replace("’", "'")
    return _TOKEN.findall(said)


def _marks(said: str) -> list[str]:
    """The marks behind each word: all that end a sentence as ".", all others as ","."""
    marks: list[str] = []
    for token in _tokens(said):
        if token not in ".?!,;:":
            marks.append("")
        elif marks:
            marks[-1] += "." if token in ".?!" else ","
    return marks
