"""Markdown within a line: links, pauses, entities, escapes and code.

Each rule gets a text that begins with its sign, and whether no more of it may be waited for.
"""

from __future__ import annotations

import html
import re
from html.entities import html5

from sled.text.markup.events import WAIT, Found, Inner, Pause, Result, Words
from sled.text.markup.tags import DEFAULT_BREAK_S, seconds
from sled.text.markup.tex import find_parentheses

_SIGNS = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")

_ENTITY = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});")
_ENTITY_BEGUN = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{0,31}|#[0-9]{0,7}|#[xX][0-9A-Fa-f]{0,6})?")

_PAUSE = re.compile(
    r"\[pause(?:\s*[:=\s]\s*([0-9]*\.?[0-9]+)\s*(ms|milliseconds?|s|sec|seconds?)?)?\s*\]",
    re.IGNORECASE,
)
# A text in brackets: one line or several, with at most one image or pair of brackets in it.
# No two alternatives match at one place: otherwise the time would be exponential in their number.
_IN_BRACKETS = r"[^\[\]\\\n!]|!(?!\[)|\\.|\n(?!\s*\n)"
_LABEL = rf"!?\[((?:{_IN_BRACKETS}|!?\[(?:{_IN_BRACKETS})*\])*)"
_LABELLED = re.compile(rf"{_LABEL}\]", re.DOTALL)
_LABEL_BEGUN = re.compile(rf"{_LABEL}(?:\\|!?\[(?:{_IN_BRACKETS})*\\?)?", re.DOTALL)
_TITLE = r"\"[^\"]*\"|'[^']*'"
_ADDRESS = r"\(\s*(?:<[^<>\n]*>|(?:[^()\s<>]|\([^()\s]*\))*)"
_TARGET = re.compile(rf"{_ADDRESS}(?:\s+(?:{_TITLE}))?\s*\)")
_TARGET_BEGUN = re.compile(
    rf"(?:{_ADDRESS}(?:\([^()\s]*|\s+(?:{_TITLE}|\"[^\"]*|'[^']*)?)?\s*|\(\s*<[^<>\n]*)"
)
_REFERENCE = re.compile(r"\[[^\[\]\n]*\]")
_REFERENCE_BEGUN = re.compile(r"\[[^\[\]\n]*")
_PHONEMES = re.compile(r"\(/([^/()\n]+)/\)")
_PHONEMES_BEGUN = re.compile(r"\((?:/[^/()\n]*/?)?")
# Letters of ASCII alone are an address of the same site, as in [guide](/guide/).
_OF_PHONEMES = re.compile(r"[ '\u0250-\u02ff\u1d00-\u1dbfæðøœçŋθβχ]")

# A span of code ends within this many characters.
_MAX_CODE = 150


def find_entity(text: str, full: bool) -> Result:
    """A character of HTML such as `&amp;`."""
    if match := _ENTITY.match(text):
        name = match[0][1:]
        if name[0] != "#" and name not in html5:
            return None
        character = html.unescape(match[0])
        return Found(match.end(), (Words(character, 0, match.end()),))
    return WAIT if _ENTITY_BEGUN.fullmatch(text) and not full else None


def find_escape(text: str, full: bool) -> Result:
    r"""A sign without its meaning in Markdown, such as `\*`, or a formula."""
    if len(text) == 1:
        return None if full else WAIT
    if text[1] in "([" and (formula := find_parentheses(text, full)) is not None:
        return formula
    return Found(2, (Words(text[1], 0, 2),)) if text[1] in _SIGNS else None


def find_image(text: str, full: bool) -> Result:
    """An image: its description is said."""
    if len(text) == 1:
        return None if full else WAIT
    return find_bracket(text, full) if text[1] == "[" else None


def find_bracket(text: str, full: bool) -> Result:
    """A pause, a link, a footnote, or a word with its phonemes."""
    if pause := _PAUSE.match(text):
        length = DEFAULT_BREAK_S if pause[1] is None else seconds(pause[1], pause[2])
        return Found(pause.end(), (Pause(length, 0, pause.end()),) if length else ())
    label = _LABELLED.match(text)
    if label is None:
        return WAIT if _LABEL_BEGUN.fullmatch(text) and not full else None
    after = text[label.end() :]
    if not after and not full:
        return WAIT
    if after.startswith("("):
        return _find_link(label, after, full)
    if after.startswith("["):
        if reference := _REFERENCE.match(after):
            return Found(label.end() + reference.end(), (Inner(*label.span(1)),))
        return WAIT if _REFERENCE_BEGUN.fullmatch(after) and not full else None
    return Found(label.end()) if re.fullmatch(r"\^[^\s\]]+", label[1]) else None


def _find_link(label: re.Match[str], after: str, full: bool) -> Result:
    """A link or a word with its phonemes: a label, and what follows it from a parenthesis on."""
    phonemes = _PHONEMES.match(after)
    if phonemes is not None and _OF_PHONEMES.search(phonemes[1]) and label[0][0] != "!":
        word = Words(label[1], *label.span(1), phonemes[1])
        return Found(label.end() + phonemes.end(), (word,))
    if target := _TARGET.match(after):
        return Found(label.end() + target.end(), (Inner(*label.span(1)),))
    begun = _PHONEMES_BEGUN.fullmatch(after) or _TARGET_BEGUN.fullmatch(after)
    return WAIT if begun and not full else None


def find_code(text: str, full: bool) -> Result:
    """A span of code: it is said, and has no markup in it. A backtick alone is left out."""
    full = full or len(text) >= _MAX_CODE
    text = text[:_MAX_CODE]
    length = len(text) - len(text.lstrip("`"))
    if length == len(text):
        return Found(length) if full else WAIT
    closing = re.compile(rf"(?<!`)`{{{length}}}(?!`)").search(text, length)
    if closing is not None and (closing.end() < len(text) or full):
        start, end = length, closing.start()
        return Found(closing.end(), (Words(text[start:end], start, end),))
    return Found(length) if full or "\n\n" in text else WAIT
