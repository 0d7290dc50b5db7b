"""The recording of a voice, as flags name it."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from sled.streaming.voice import Prompt
from sled.transcribe import load_recognizer
from sled.tts import TTS


def read_prompt(args: argparse.Namespace, tts: TTS) -> Prompt:
    """The recording and its transcript; without `--prompt_text` it is recognised, and printed.

    Args:
        args: Parsed flags of `sled.cli.flags.add_prompt_flags`.
        tts: The model that is to speak.

    Raises:
        ValueError: If the recording cannot be used, or its words are not known.
    """
    if args.instruction is not None:
        if args.prompt_text is not None:
            raise ValueError("--instruction and --prompt_text exclude each other: give one")
        return Prompt(None, args.prompt_audio, instruction=args.instruction)
    if args.prompt_text is not None:
        if not args.prompt_text.strip():
            raise ValueError("--prompt_text is blank: give the words spoken in the prompt audio")
        return Prompt(args.prompt_text, args.prompt_audio)
    try:
        load_recognizer(args.whisper)
    except ValueError as error:
        raise ValueError(f"--prompt_text is missing: {error}") from error
    prompt = Prompt(None, args.prompt_audio)
    text = tts.transcribe(prompt, args.whisper)
    heard = f'heard in the recording: "{text}"; if it says something else, give --prompt_text'
    print(heard, file=sys.stderr)  # audio may go to the standard output
    return replace(prompt, text=text)
