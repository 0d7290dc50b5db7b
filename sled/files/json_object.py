"""Reading of JSON files that people copy, edit and damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        OSError: If the file does not exist.
        ValueError: If it is damaged, or holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # also of text that is not UTF-8
        raise ValueError(f"{path} is not valid JSON ({error}): copy it again") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is not a JSON object: copy it again")
    return values
