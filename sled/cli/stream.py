"""Speak a text while it is being written: n text tokens, m frames, and so on.

Audio is written or played as soon as it is made. The report shows when text and audio came, and
whether a player would have stalled.
"""

from __future__ import annotations

import argparse

from sled.cli.flags import add_speech_flags, add_voice_flags
from sled.startup import lasting_imports

EXAMPLE = 'sled stream "Hello there." -o - | aplay -f S16_LE -r 24000'


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled stream`."""
    add_speech_flags(parser)
    add_voice_flags(parser)
    live = parser.add_argument_group("live")
    live.add_argument(
        "--tokens_per_second",
        type=float,
        default=float("inf"),
        help="simulated speed of the writer; inf: all text at once",
    )
    live.add_argument(
        "--max_start_delay_s",
        type=float,
        default=1.0,
        help="longest delay of the first audio, in seconds: if the text comes more slowly than "
        "speech is played, audio is buffered first; 0: no delay",
    )
    live.add_argument(
        "--max_silence_s",
        type=float,
        help="end a segment whose text has been read after this much silence; unset: only the "
        "model ends it",
    )
    live.add_argument(
        "--play",
        action="store_true",
        help="play the speech as it is made (needs the extra `play`)",
    )


def run(args: argparse.Namespace) -> None:
    """Speak as the flags say."""
    with lasting_imports():
        from sled.cli.live import speak_live
        from sled.cli.speaking import read_task, read_voice

    # A simulated writer needs the whole text.
    at_once = args.tokens_per_second == float("inf")
    task = read_task(args, "stream", follow_input=at_once)
    speak_live(args, task, read_voice(args, task))
