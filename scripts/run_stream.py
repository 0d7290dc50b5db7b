#!/usr/bin/env python
"""Speak a text while it is being written: n text tokens, m frames, and so on."""

from sled.cli.live import add_live_flags, speak_live
from sled.cli.speaking import add_voice_flags, read_task, read_voice, run_main, speech_parser


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and speak."""
    parser = speech_parser(__doc__ or "")
    add_voice_flags(parser)
    add_live_flags(parser)
    args = parser.parse_args(argv)
    task = read_task(args, "stream")
    speak_live(args, task, read_voice(args, task))


if __name__ == "__main__":
    run_main(main)
