#!/usr/bin/env python
"""Speak a text in the voice of a short recording, which the new speech continues."""

from sled.cli import run_main, speak, speech_parser
from sled.tts import Prompt


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and speak."""
    parser = speech_parser(__doc__ or "")
    voice = parser.add_argument_group("voice")
    voice.add_argument("--prompt_audio", help="recording, in any format that soundfile reads")
    voice.add_argument("--prompt_text", help="the words spoken in it")
    args = parser.parse_args(argv)
    if not args.prompt_audio:
        raise ValueError("--prompt_audio is missing: name a recording of the voice")
    if not (args.prompt_text or "").strip():
        raise ValueError("--prompt_text is missing: give the words spoken in the prompt audio")
    speak(args, layout="offline", prompt=Prompt(args.prompt_text, args.prompt_audio))


if __name__ == "__main__":
    run_main(main)
