"""Files that tell when the words of a speech are said: JSON, or subtitles in SubRip or WebVTT."""

from __future__ import annotations

import html
import json
import re
import textwrap
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sled.files.audio import check_folder
from sled.streaming.marks import Mark

SUFFIXES = (".json", ".srt", ".vtt")
# A subtitle has at most two lines, and lasts no longer than this; it also ends with a sentence, and
# at a pause between words.
LINE_CHARS, LONGEST_S, PAUSE_S = 42, 6.0, 0.8
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*$")


def check_marks_path(path: Path) -> None:
    """Check that a file of marks can be written, before the speech is made.

    Raises:
        ValueError: The suffix is unknown, or the folder does not exist or is not writable.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"--marks {path}: name a file that ends with {', '.join(SUFFIXES)}")
    check_folder(path)


def write_marks_file(path: Path, text: str, marks: Sequence[Mark]) -> None:
    """Write marks in the format of the path's suffix.

    Args:
        path: The file.
        text: The text of the speech.
        marks: When its words are said, in order.
    """
    if path.suffix == ".json":
        objects = [json.dumps(mark.as_dict(), ensure_ascii=False) for mark in marks]
        content = "[\n" + ",\n".join(objects) + "\n]\n"
    else:
        write = {".srt": to_subrip, ".vtt": to_webvtt}[path.suffix]
        content = write(make_cues(text, marks))
    path.write_text(content, encoding="utf-8")


@dataclass(frozen=True)
class Cue:
    """A subtitle.

    Attributes:
        start_s: When it appears.
        end_s: When it disappears.
        text: One line, or two.
    """

    start_s: float
    end_s: float
    text: str


def make_cues(text: str, marks: Sequence[Mark]) -> list[Cue]:
    """Divide a text into subtitles.

    Args:
        text: The text.
        marks: When its words are said, in order.
    """
    groups: list[list[Cue]] = []
    for word in _words(text, marks):
        if not groups or not _fits(groups[-1], word):
            groups.append([])
        groups[-1].append(word)
    return [
        Cue(group[0].start_s, group[-1].end_s, "\n".join(_lines(one.text for one in group)))
        for group in groups
    ]


def _words(text: str, marks: Sequence[Mark]) -> list[Cue]:
    """The words of a text that are said, with the punctuation around them."""
    words: list[Cue] = []
    rest, said_to = deque(marks), 0
    for found in re.finditer(r"\S+", text):
        within = []
        while rest and rest[0].start_char < found.end():
            within.append(rest.popleft())
        if found.start() < said_to:  # one mark has several words, as "$5 million"
            words[-1] = replace(words[-1], text=f"{words[-1].text} {found[0]}")
        elif within:
            words.append(Cue(within[0].start_s, within[-1].end_s, found[0]))
        if within:
            words[-1] = replace(words[-1], end_s=within[-1].end_s)
            said_to = within[-1].end_char
    return words


def _fits(group: Sequence[Cue], word: Cue) -> bool:
    """Whether a subtitle of some words can have one more."""
    pause_s = word.start_s - group[-1].end_s
    ends_sentence = _SENTENCE_END.search(group[-1].text) and pause_s > 0  # else as in "Dr. No"
    if ends_sentence or pause_s > PAUSE_S:
        return False
    is_short = word.end_s - group[0].start_s <= LONGEST_S
    return is_short and len(_lines(one.text for one in (*group, word))) <= 2


def _lines(words: Iterable[str]) -> list[str]:
    return textwrap.wrap(" ".join(words), LINE_CHARS, break_long_words=False)


def to_subrip(cues: Sequence[Cue]) -> str:
    """Subtitles in the format SubRip (.srt)."""
    return "\n".join(
        f"{number}\n{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n{cue.text}\n"
        for number, cue in enumerate(cues, 1)
    )


def to_webvtt(cues: Sequence[Cue]) -> str:
    """Subtitles in the format WebVTT (.vtt)."""
    blocks = [
        f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n"
        f"{html.escape(cue.text, quote=False)}\n"
        for cue in cues
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def _clock(seconds: float, point: str) -> str:
    minutes, ms = divmod(round(1000 * seconds), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{ms // 1000:02}{point}{ms % 1000:03}"
