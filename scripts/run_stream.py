#!/usr/bin/env python
"""Speak a text in the chunked streaming layout: n text tokens, m frames, and so on."""

from sled.cli import run_main, speak, speech_parser


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and speak."""
    speak(speech_parser(__doc__ or "").parse_args(argv), layout="stream")


if __name__ == "__main__":
    run_main(main)
