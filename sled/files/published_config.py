"""What configurations of CosyVoice tell of a model: the rate of its tokens, and more of its parts.

A published folder has `cosyvoice.yaml` or `cosyvoice2.yaml` beside the tensors.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sled.files.hyperpyyaml import CLASS, read_hyperpyyaml

logger = logging.getLogger(__name__)

_PATTERN = "cosyvoice*.yaml"


def configurations_in(folder: Path) -> list[dict[str, Any]]:
    """Read the configurations in a folder, in the order of their names.

    One that cannot be read is left out with a warning: a model loads without it.
    """
    contents = []
    for path in sorted(folder.glob(_PATTERN)):
        try:
            contents.append(read_hyperpyyaml(path))
        except (OSError, ValueError) as error:
            logger.warning("rates and chunks are taken as published, not from %s: %s", path, error)
    return contents


def part_of(content: Mapping[str, Any], name: str, kind: str) -> Mapping[str, Any] | None:
    """Return the settings of a part of a model, without its class.

    Args:
        content: A configuration.
        name: Such as "flow" or "llm".
        kind: The last part of the name of its class.

    Returns:
        The settings; None if there is no such part, or it is of another class.
    """
    part = content.get(name)
    if not isinstance(part, dict) or str(part.get(CLASS, "")).rpartition(".")[2] != kind:
        return None
    return {key: value for key, value in part.items() if key != CLASS}


def token_rate_of(content: Mapping[str, Any]) -> float | None:
    """Return the speech tokens per second that a configuration tells; None if it does not.

    Raises:
        ValueError: If it is no rate.
    """
    flow = content.get("flow")
    rate = flow.get("input_frame_rate") if isinstance(flow, dict) else None
    rate = content.get("token_frame_rate") if rate is None else rate
    if rate is None:
        return None
    if not isinstance(rate, int | float) or not rate > 0:
        raise ValueError(f"input_frame_rate {rate!r} is no number of tokens a second: correct it")
    return float(rate)
