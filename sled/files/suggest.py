"""Suggestions for mistyped names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return " (did you mean ...?)" with the choice most similar to a name; "" if none is."""
    close = get_close_matches(name, choices, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
