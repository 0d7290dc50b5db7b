"""Tags of HTML and SSML."""

from __future__ import annotations

import html
import re

from sled.text.markup.events import WAIT, Comma, Found, Item, Pause, Result, Stop, Words

# The pause of `<break/>`, and of its strengths; SSML leaves these to the synthesis.
DEFAULT_BREAK_S = 0.5
BREAKS_S = {
    "none": 0.0,
    "x-weak": 0.1,
    "weak": 0.25,
    "medium": DEFAULT_BREAK_S,
    "strong": 0.75,
    "x-strong": 1.0,
}

# Their beginnings and ends are those of paragraphs, or of sentences and lines.
_PARAGRAPHS = frozenset(
    """p div h1 h2 h3 h4 h5 h6 ul ol dl table blockquote section article header footer main aside
    nav figure form hr title head body html pre""".split()  # noqa: SIM905
)
_LINES = frozenset(("s", "li", "tr", "dt", "dd", "option", "caption", "figcaption", "summary"))
_CELLS = frozenset(("td", "th"))
_INLINE = frozenset(
    """a abbr acronym address audio b bdi bdo big button canvas center cite code col colgroup data
    del details dfn dialog em fieldset font i iframe input ins kbd label legend link map mark meter
    object optgroup output picture progress q rp rt ruby samp select small source span strike strong
    sup svg template textarea tbody tfoot thead time track tt u var video wbr noscript
    speak voice prosody emphasis lang lexicon lookup meta metadata desc token w""".split()  # noqa: SIM905
)
# Their content is replaced, or left out.
_ELEMENTS = frozenset(("sub", "say-as", "phoneme", "script", "style"))
_OTHERS = frozenset(("break", "br", "img"))
_KNOWN = _PARAGRAPHS | _LINES | _CELLS | _INLINE | _ELEMENTS | _OTHERS
_VENDORS = ("mstts:", "amazon:", "google:", "xml:")

_NAME = r"[A-Za-z][\w:-]*"
_ATTRIBUTE = r"\s+[A-Za-z_:][\w:.-]*\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>=]+)"
_TAG = re.compile(rf"<(/?)({_NAME})((?:{_ATTRIBUTE})*)\s*/?>")
_TAG_BEGUN = re.compile(
    rf"</?(?:(?P<name>{_NAME})(?P<more>(?:{_ATTRIBUTE})*"
    r"(?:\s+(?:[A-Za-z_:][\w:.-]*(?:\s*=?|\s*=\s*(?:\"[^\"<>]*|'[^'<>]*|[^\s\"'<>=]+))?)?)?\s*/?))?"
)
_VALUE = re.compile(r"([\w:.-]+)\s*=\s*(\"[^\"]*\"|'[^']*'|\S+)")
# Comments, and declarations such as <?xml ...?> and <!DOCTYPE html>.
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_COMMENT_BEGUN = re.compile(r"<!(?:-(?:-.*)?)?", re.DOTALL)
_DECLARATION = re.compile(r"<[!?][A-Za-z][^<>]*>")
_DECLARATION_BEGUN = re.compile(r"<[!?](?:[A-Za-z][^<>]*)?")
_ADDRESS = re.compile(r"<(?:mailto:)?((?:https?|ftp)://[^\s<>]+|[^\s<>@:/]+@[^\s<>@]+\.[^\s<>@]+)>")
_ADDRESS_BEGUN = re.compile(
    r"<(?:h(?:t(?:t(?:ps?)?)?)?|f(?:tp?)?|(?:https?|ftp):(?:/(?:/[^\s<>]*)?)?"
    r"|(?:mailto:)?[\w.+-]+(?:@[^\s<>@]*)?|mailto:)"
)
_TIME = re.compile(r"\+?([0-9]*\.?[0-9]+)\s*(ms|s)")


def seconds(amount: str, unit: str | None) -> float:
    """A duration as it is written, such as 800 ms; without a unit in seconds."""
    return float(amount) / (1000 if (unit or "s").lower().startswith("m") else 1)


def find_tag(text: str, full: bool) -> Result:
    """A tag, an element, a comment, or an address in angle brackets.

    Args:
        text: The text, from a `<` on.
        full: Whether no more of it may be waited for.
    """
    for pattern in (_COMMENT, _DECLARATION):
        if match := pattern.match(text):
            return Found(match.end())
    if address := _ADDRESS.match(text):
        start, end = address.span(1)
        return Found(address.end(), (Words(address[1], start, end),))
    tag = _TAG.match(text)
    if tag is None:
        return None if full or not _may_go_on(text) else WAIT
    name = tag[2].lower()
    if not _is_known(name):
        return None
    values = {
        key.lower(): html.unescape(value.strip("\"'")) for key, value in _VALUE.findall(tag[3])
    }
    if name in _ELEMENTS and not tag[1] and not tag[0].endswith("/>"):
        return _find_element(text, full, tag.end(), name, values)
    return Found(tag.end(), _meaning(name, values, tag.end(), is_end=bool(tag[1])))


def _is_known(name: str) -> bool:
    return name in _KNOWN or name.startswith(_VENDORS)


def _may_go_on(text: str) -> bool:
    """Whether a text may be the beginning of a tag, or of something else that is known here."""
    for pattern in (_COMMENT_BEGUN, _DECLARATION_BEGUN, _ADDRESS_BEGUN):
        if pattern.fullmatch(text):
            return True
    match = _TAG_BEGUN.fullmatch(text)
    if match is None:
        return False
    name = (match["name"] or "").lower()
    if match["more"]:
        return _is_known(name)
    return name.startswith(_VENDORS) or any(one.startswith(name) for one in (*_KNOWN, *_VENDORS))


def _meaning(name: str, values: dict[str, str], end: int, *, is_end: bool) -> tuple[Item, ...]:
    """What a tag means that is `end` characters long."""
    if is_end and name in _OTHERS:
        return ()
    if name == "break":
        return _break(values, end)
    if name == "br":
        return (Words("\n", 0, end),)
    if name == "img":
        return (Words(values.get("alt", ""), 0, end),)
    if name in _CELLS and not is_end:
        return (Comma(0, end),)
    if name in _PARAGRAPHS:
        return (Stop(0, end, "\n\n"),)
    return (Stop(0, end, "\n"),) if name in _LINES else ()


def _break(values: dict[str, str], end: int) -> tuple[Item, ...]:
    """The pause of a tag `break`; a value that SSML does not have counts as none."""
    time = _TIME.fullmatch(values.get("time", "").strip())
    length = BREAKS_S.get(values.get("strength", ""), DEFAULT_BREAK_S)
    if time is not None:
        length = seconds(time[1], time[2])
    return (Pause(length, 0, end),) if length else ()


def _find_element(text: str, full: bool, start: int, name: str, values: dict[str, str]) -> Result:
    """An element whose content, from `start` on, is replaced or left out."""
    closing = re.compile(rf"</{name}\s*>", re.IGNORECASE).search(text, start)
    if closing is None:  # without an end, only the tag is left out
        return Found(start) if full else WAIT
    end, content = closing.start(), text[start : closing.start()]
    said = html.unescape(re.sub(r"<[^<>]*>", "", content))
    phonemes = None
    if name == "sub":
        said = values.get("alias", said)
    elif name == "say-as":
        said = _say_as(said, values.get("interpret-as", ""))
    elif name == "phoneme":
        if values.get("alphabet", "ipa").lower() == "ipa":
            phonemes = values.get("ph")
    else:
        return Found(closing.end())
    return Found(closing.end(), (Words(said, start, end, phonemes or None),) if said else ())


def _say_as(text: str, kind: str) -> str:
    """A text as a kind of SSML: characters one by one, ordinal numbers; others are unchanged."""
    if kind in ("characters", "spell-out", "verbatim"):
        return " ".join(_spell(run) for run in re.findall(r"[A-Za-z]+|[^A-Za-z\s]", text))
    if kind in ("digits", "telephone"):
        spaced = re.sub(r"(?<=[0-9])(?=[0-9])", " ", text)
        return spaced if kind == "digits" else re.sub(r"\s*[-–.()]+\s*", ", ", spaced).strip(", ")
    number = text.strip()
    if kind == "ordinal" and number.isascii() and number.isdigit():
        ends = {"1": "st", "2": "nd", "3": "rd"}
        return number + ("th" if number[-2:-1] == "1" else ends.get(number[-1], "th"))
    return text


def _spell(run: str) -> str:
    """Letters to be said one by one, as abbreviations with full stops are."""
    return ".".join(run.upper()) + "." if len(run) > 1 else run.upper()
