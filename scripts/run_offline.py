#!/usr/bin/env python
"""Speak a text in the offline layout: all text is read before the first frame is written."""

from sled.cli import run_main, speak, speech_parser


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and speak."""
    speak(speech_parser(__doc__ or "").parse_args(argv), layout="offline")


if __name__ == "__main__":
    run_main(main)
