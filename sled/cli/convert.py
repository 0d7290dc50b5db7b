"""Say the speech of a recording with another voice, without a text.

It needs a model of speech tokens, with its speech tokenizer. Ask both persons for permission first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sled.cli.flags import add_model_flags, add_output_flag

EXAMPLE = "sled convert said.wav --model CosyVoice2 --prompt_audio voice.wav -o out.wav"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled convert`."""
    parser.add_argument("recording", type=Path, help="what is said")
    add_model_flags(parser)
    voice = parser.add_argument_group("voice")
    voice.add_argument("--prompt_audio", type=Path, help="recording of the voice")
    voice.add_argument("--voice", help="the name of a voice that the model or its codec has")
    add_output_flag(voice, "audio file to write")


def run(args: argparse.Namespace) -> None:
    """Convert the recording, and write the result.

    Raises:
        ValueError: If no voice is named, or two, or the model cannot do it.
    """
    from sled.cli.device import choose_device
    from sled.files.audio import check_writable, write_audio
    from sled.streaming.voice import Prompt
    from sled.tts import TTS

    if (args.voice is None) == (args.prompt_audio is None):
        raise ValueError("name a voice: give --prompt_audio or --voice")
    check_writable(args.output)
    device = choose_device(args.device)
    tts = TTS.from_pretrained(args.model, codec=args.codec, device=device, dtype=args.dtype)
    voice = args.voice if args.prompt_audio is None else Prompt(None, args.prompt_audio)
    audio = tts.convert(args.recording, voice)
    write_audio(args.output, audio, tts.codec.sample_rate)
    seconds = len(audio) / tts.codec.sample_rate
    print(f"{args.output}: {seconds:.2f} s of audio at {tts.codec.sample_rate} Hz")
