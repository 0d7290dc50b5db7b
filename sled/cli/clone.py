"""Speak a text with the voice of a short recording, which the new speech continues.

`sled voices make` prepares such a voice once, so that later commands start faster. Ask the person
for permission first.
"""

from __future__ import annotations

import argparse

from sled.cli.flags import (
    LAYOUTS,
    add_marks_flag,
    add_redraw_flag,
    add_speech_flags,
    add_voice_flags,
)
from sled.startup import lasting_imports

EXAMPLE = (
    'sled clone "Hello there." --prompt_audio voice.wav --prompt_text "What was said." -o out.wav'
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled clone`."""
    add_speech_flags(parser)
    add_voice_flags(parser)
    add_redraw_flag(parser)
    add_marks_flag(parser)
    parser.add_argument("--layout", choices=LAYOUTS, default="offline", help="layout to speak in")


def run(args: argparse.Namespace) -> None:
    """Speak as the flags say.

    Raises:
        ValueError: If no voice is named, or the flags cannot be followed.
    """
    if args.voice is None and not args.prompt_audio:
        raise ValueError("--prompt_audio is missing: name a recording of the voice")
    with lasting_imports():
        from sled.cli.speaking import read_task, read_voice, speak

    task = read_task(args, args.layout)
    speak(args, task, read_voice(args, task))
