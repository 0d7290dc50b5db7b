"""Times other systems in turns with ours, so that other work on the machine affects all alike."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

OURS = "ours"
FIGURES = ("rtf", "first_audio_ms")
POCKET = Path(__file__).with_name("time_pocket.py")
PEERS: dict[str, dict[str, tuple[Path | str, ...]]] = {
    "pocket-tts": {
        f"Pocket TTS {size}, {dtype}": (POCKET, "--size", size, *flags)
        for size in ("117m", "18m")
        for dtype, flags in {"float32": (), "int8": ("--int8",)}.items()
    }
}


def check_peer(peer: str, python: str) -> None:
    """Check that a Python has the package of a peer.

    Raises:
        ValueError: If it does not.
    """
    package = peer.replace("-", "_")
    probe = f"import importlib.util as u, sys; sys.exit(u.find_spec({package!r}) is None)"
    if subprocess.run([python, "-c", probe], capture_output=True).returncode:
        raise ValueError(
            f"{python} has no {peer}: name a Python that has it with --peer_python, or pip install "
            f"{peer}"
        )


def run_peer(python: str, arguments: tuple[Path | str, ...]) -> dict[str, float]:
    """Run the script of a peer and return its figures.

    Raises:
        ValueError: If it fails.
    """
    command = [python, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ValueError(f"{' '.join(command)} failed: {reason}")
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def time_in_turns_with_peers(
    ours: Callable[[], Mapping[str, float]], peer: str, python: str, rounds: int
) -> dict[str, dict[str, float]]:
    """Return the median figures of ours and of each variant of a peer.

    Args:
        ours: Speaks once and returns `FIGURES`.
        peer: One of `PEERS`.
        python: The interpreter that has the peer.
        rounds: Number of utterances of each.

    Raises:
        ValueError: If a peer cannot be run.
    """
    speak: dict[str, Callable[[], Mapping[str, float]]] = {OURS: ours}
    for name, arguments in PEERS[peer].items():
        speak[name] = lambda arguments=arguments: run_peer(python, arguments)  # type: ignore[misc]
    seen: dict[str, list[Mapping[str, Any]]] = {name: [] for name in speak}
    for _ in range(rounds):
        for name, function in speak.items():
            seen[name].append(function())
    return {
        name: {figure: median(one[figure] for one in rows) for figure in FIGURES}
        for name, rows in seen.items()
    }


def describe_peers(figures: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    """Return rows of a table, with ratios to ours."""
    rows = [["", "real-time factor", "times ours", "first audio, ms", "times ours"]]
    for name, one in figures.items():
        rtf, first_ms = (f"{one[key] / figures[OURS][key]:.2f}" for key in FIGURES)
        rows.append([name, f"{one['rtf']:.3f}", rtf, f"{one['first_audio_ms']:.0f}", first_ms])
    return rows
