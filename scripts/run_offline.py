#!/usr/bin/env python
"""Speak a text in the offline layout: all of the text is read before speech begins."""

from sled.cli.speaking import add_whole_text_flags, read_task, run_main, speak, speech_parser


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and speak."""
    parser = speech_parser(__doc__ or "")
    add_whole_text_flags(parser)
    args = parser.parse_args(argv)
    speak(args, read_task(args, "offline"))


if __name__ == "__main__":
    run_main(main)
