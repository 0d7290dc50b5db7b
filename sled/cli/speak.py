"""Speak a text in the offline layout: all text is read before speech begins.

The text is an argument, a file, or standard input (-). `sled stream` begins to speak before the
text is complete.
"""

from __future__ import annotations

import argparse

from sled.cli.flags import add_marks_flag, add_redraw_flag, add_speech_flags, add_voice_file_flag
from sled.startup import lasting_imports

EXAMPLE = 'sled speak "Speech starts while the text is still being written." -o out.wav'


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled speak`."""
    add_speech_flags(parser)
    add_voice_file_flag(parser.add_argument_group("voice"))
    add_redraw_flag(parser)
    add_marks_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Speak as the flags say."""
    with lasting_imports():
        from sled.cli.speaking import read_task, read_voice, speak

    task = read_task(args, "offline")
    speak(args, task, read_voice(args, task))
