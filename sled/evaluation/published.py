"""Figures that others have published, with their sources, from published.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

FILE = Path(__file__).with_name("published.yaml")


@dataclass(frozen=True)
class Published:
    """A figure that the authors of a system have published.

    Attributes:
        system: The system.
        protocol: The protocol of sled/evaluation/protocols/ that comes closest to theirs.
        figure: What it is.
        value: As they write it.
        judge: Their judge.
        source: Where it is published.
        note: How their test differs from the protocol, as far as it is known.
    """

    system: str
    protocol: str
    figure: str
    value: str
    judge: str
    source: str
    note: str = ""


def published_figures(protocol: str | None = None) -> list[Published]:
    """Return the figures for a protocol. None: all of them."""
    entries = [Published(**one) for one in yaml.safe_load(FILE.read_text(encoding="utf-8"))]
    return [one for one in entries if protocol in (None, one.protocol)]
