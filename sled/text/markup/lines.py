"""Markdown that begins a line: headings, quotes, rules, tables and fences of code.

Each function gets a text and whether no more of it may be waited for.
"""

from __future__ import annotations

import re

from sled.text.markup.events import WAIT, Comma, Found, Line, Result, Words

# Fences of these languages hold text: their lines are said. Others are left out.
_TEXT_LANGUAGES = frozenset(("", "text", "txt", "plain", "plaintext", "markdown", "md", "email"))

_FENCE = re.compile(r"(`{3,})([^`\n]*)\n|(~{3,})([^\n]*)\n")
_FENCE_BEGUN = re.compile(r"`{1,2}|`{3,}[^`\n]*|~{1,2}|~{3,}[^\n]*")
_HEADING = re.compile(r"#{1,6}[ \t]+")
_HEADING_BEGUN = re.compile(r"#{1,6}[ \t]*")
_BOX = re.compile(r"([-*+][ \t]+)\[[ xX]\][ \t]")
_BOX_BEGUN = re.compile(r"[-*+](?:[ \t]+(?:\[(?:[ xX]\]?)?)?)?")
# A line of these signs alone: a rule, the line under a heading, or one between rows of a table.
_RULE = re.compile(r"[-*_=|:+ \t\r]*")
_RULE_SIGNS = re.compile(r"[-*_=]")
_DEFINITION = re.compile(r"\[[^\[\]\n]+\]:[ \t]*<?(?:https?://|mailto:|/|\./|#)[^\n]*")
_DEFINITION_BEGUN = re.compile(r"\[[^\[\]\n]*(?:\](?::[ \t]*[^\s]*)?)?")
_FOOTNOTE = re.compile(r"\[\^[^\[\]\s]+\]:")


def find_at_line_start(text: str, full: bool) -> Result:
    """What begins a line, after its spaces."""
    match text[:1]:
        case "`" | "~":
            return _find_fence(text, full)
        case "#":
            heading = _HEADING.match(text)
            if heading is not None and (heading.end() < len(text) or full):
                return Found(heading.end(), line=Line.HEADING)
            return WAIT if _HEADING_BEGUN.fullmatch(text) and not full else None
        case ">":
            if len(text) == 1 and not full:
                return WAIT
            return None if text[1:2] in "=>-" and text[1:] else Found(1, keeps_line_start=True)
        case "[":
            return _find_definition(text, full)
        case "-" | "*" | "+" | "_" | "=" | "|":
            return _find_box(text, full) or _find_rule(text, full)
    return None


def _find_fence(text: str, full: bool) -> Result:
    """The line that begins a fence of code."""
    fence = _FENCE.match(text)
    if fence is None:
        return WAIT if _FENCE_BEGUN.fullmatch(text) and not full else None
    signs, language = fence[1] or fence[3], (fence[2] or fence[4] or "").strip().lower()
    is_said = language.split(" ")[0] in _TEXT_LANGUAGES
    end = fence.end() - 1  # the line end is read as such
    return Found(end, fence=signs if is_said else f"{signs} left out")


def find_in_fence(text: str, full: bool, fence: str, at_line_start: bool) -> Result:
    """What follows in a fence of code: its end, or more of a line.

    Args:
        text: The text.
        full: Whether no more of it may be waited for.
        fence: `Found.fence` of its beginning.
        at_line_start: Whether the text is at the start of a line, after its spaces.
    """
    signs, _, is_left_out = fence.partition(" ")
    if at_line_start and text[0] == signs[0]:
        length = len(text) - len(text.lstrip(signs[0]))
        rest = text[length:].lstrip(" \t\r")
        if not rest and not full:
            return WAIT
        if length >= len(signs) and rest[:1] in ("", "\n"):
            return Found(length, fence="")
    line_end = text.find("\n")
    end = 1 if line_end == 0 else line_end if line_end > 0 else len(text)
    return Found(end, () if is_left_out else (Words(text[:end], 0, end),))


def _find_box(text: str, full: bool) -> Result:
    """A bullet with the box of a task."""
    if box := _BOX.match(text):
        return Found(box.end(), (Words(box[1], 0, box.end(1)),))
    return WAIT if _BOX_BEGUN.fullmatch(text) and not full else None


def _find_rule(text: str, full: bool) -> Result:
    """A line of signs, or the first sign of a row."""
    rule = _RULE.match(text)
    assert rule is not None, "the pattern matches everything"
    end = rule.end()
    if end == len(text) and not full:
        return WAIT
    if (end == len(text) or text[end] == "\n") and len(_RULE_SIGNS.findall(rule[0])) >= 3:
        return Found(end, (Words("\n", 0, end),))
    return Found(1, line=Line.ROW, keeps_line_start=True) if text[0] == "|" else None


def _find_definition(text: str, full: bool) -> Result:
    """The address of a link that is used elsewhere: left out; or the mark of a footnote."""
    if mark := _FOOTNOTE.match(text):
        return Found(mark.end())
    if definition := _DEFINITION.match(text):
        return Found(definition.end()) if definition.end() < len(text) or full else WAIT
    return WAIT if _DEFINITION_BEGUN.fullmatch(text) and not full else None


def find_cell_end(text: str, full: bool) -> Result:
    """The sign after a cell, or spaces before it; after the last cell, it means nothing."""
    after = text.lstrip(" \t\r")
    if not after.startswith("|"):
        if not after:
            return Found(len(text)) if full else WAIT
        return Found(len(text) - len(after)) if after[0] == "\n" else None
    sign = len(text) - len(after)
    after = after[1:].lstrip(" \t\r")
    if not after:
        return Found(len(text)) if full else WAIT
    end = len(text) - len(after)
    return Found(end) if after[0] in "\n|" else Found(end, (Comma(sign, sign + 1),))


def find_heading_end(text: str, full: bool) -> Result:
    """The signs that may end a heading, as in `## Title ##`."""
    after = text.lstrip("#").lstrip(" \t\r")
    if not after:
        return Found(len(text)) if full else WAIT
    return Found(len(text) - len(after)) if after[0] == "\n" else None
