"""List the bundled models with their voices, and the voice files in files or folders.

A model is named with --model, one of its voices or a voice file with --voice.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from sled.bundled import BUNDLED_MODELS, DEFAULT_MODEL
from sled.files.recorded_voices import recorded_voices

EXAMPLE = "sled voices list my_voices/"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled voices list`."""
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="voice files, or folders of them"
    )


def run(args: argparse.Namespace) -> None:
    """Print a line for each model and each voice file.

    Raises:
        ValueError: If a path does not exist.
    """
    for name, model in BUNDLED_MODELS.items():
        default = " (default)" if name == DEFAULT_MODEL else ""
        print(f"model  {name}{default}: {model.speaks}, {_size(model.folder.rglob('*'))}")
        for voice, recording in recorded_voices(model.folder).items():
            print(f'voice  {voice} (of {name}): continues "{recording.text}"')
    for path in _voice_files(args.paths):
        print(f"voice  {path}: {_describe(path)}, {_size([path])}")


def _voice_files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(path.glob("*.safetensors"))
        elif path.is_file():
            yield path
        else:
            raise ValueError(f"no voice file or folder at {path}: check the path")


def _describe(path: Path) -> str:
    """The transcript and the layout of a voice file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "np") as file:
            description = json.loads((file.metadata() or {})["voice"])
    except (SafetensorError, KeyError, json.JSONDecodeError):
        return "no voice file"
    layout = "offline" if description["speech_chunk"] is None else "stream"
    # Older files have only the normalised text.
    return f'"{description.get("transcript") or description["text"]}", {layout}'


def _size(files: Iterable[Path]) -> str:
    return f"{sum(file.stat().st_size for file in files if file.is_file()) / 1e6:.1f} MB"
