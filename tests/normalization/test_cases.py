"""Inputs from reports of users, if they are at hand: each is said in one of its right ways."""

import json
from pathlib import Path

import pytest

from sled.normalization import normalize

_FILE = Path(__file__).parents[2].parent / "shared" / "cases.jsonl"
_KINDS_IN_PHONEMES = (
    "capitals that are spelled",
    "the letter A",
    "accents are taken off",
    "sounds",
)


def read_cases() -> list[tuple[str, str]]:
    """Inputs and right values, separated by |, of the cases that are about normalisation."""
    if not _FILE.is_file():
        return []
    rows = map(json.loads, _FILE.read_text("utf-8").splitlines())
    return [
        (row["input"], row["right"])
        for row in rows
        if row["id"].startswith("N") and not row["kind"].startswith(_KINDS_IN_PHONEMES)
    ]


@pytest.mark.skipif(not _FILE.is_file(), reason="no file of cases")
@pytest.mark.parametrize(("written", "right"), read_cases())
def test_reported_inputs_are_said_rightly(written: str, right: str) -> None:
    assert normalize(written, "english").strip() in right.split("|")
