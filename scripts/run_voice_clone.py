#!/usr/bin/env python
"""Speak a text in the voice of a short recording, which the new speech continues."""

from sled.cli.speaking import (
    add_voice_flags,
    add_whole_text_flags,
    read_task,
    read_voice,
    run_main,
    speak,
    speech_parser,
)


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and speak."""
    parser = speech_parser(__doc__ or "")
    add_voice_flags(parser)
    add_whole_text_flags(parser)
    parser.add_argument(
        "--layout", choices=("offline", "stream"), default="offline", help="order of the sequence"
    )
    args = parser.parse_args(argv)
    if not (args.voice or args.prompt_audio):
        raise ValueError("--prompt_audio is missing: name a recording of the voice")
    task = read_task(args, args.layout)
    speak(args, task, read_voice(args, task))


if __name__ == "__main__":
    run_main(main)
