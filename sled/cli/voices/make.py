"""Prepare a voice from a short recording, so that speaking with it starts at once.

The voice file belongs to one model, codec and precision. The flag --voice of `sled speak`, `sled
stream` and `sled clone` speaks with it. Ask the person for permission first.
"""

from __future__ import annotations

import argparse

from sled.cli.flags import LAYOUTS, add_model_flags, add_output_flag, add_prompt_flags

EXAMPLE = (
    'sled voices make --prompt_audio voice.wav --prompt_text "What was said." -o voice.safetensors'
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled voices make`."""
    add_model_flags(parser)
    voice = parser.add_argument_group("voice")
    add_prompt_flags(voice, required=True)
    voice.add_argument(
        "--layout",
        choices=LAYOUTS,
        default="stream",
        help="layout in which the voice speaks at once; in the other one, the model reads the "
        "recording again first",
    )
    add_output_flag(voice, "voice file to write (.safetensors)")


def run(args: argparse.Namespace) -> None:
    """Prepare the voice, and write its file.

    Raises:
        ValueError: If the file cannot be written there, or the recording cannot be used.
    """
    from sled.cli.device import choose_device
    from sled.cli.recordings import read_prompt
    from sled.files.audio import check_folder
    from sled.model.layout import Layout
    from sled.tts import TTS

    check_folder(args.output)
    device = choose_device(args.device)
    tts = TTS.from_pretrained(args.model, codec=args.codec, device=device, dtype=args.dtype)
    layout = Layout() if args.layout == "offline" else tts.model.streaming_layout
    voice = tts.make_voice(read_prompt(args, tts), layout)
    tts.save_voice(voice, args.output)
    seconds = len(voice.units) / tts.codec.frame_rate
    print(f"{args.output}: a voice of {seconds:.1f} s, {args.output.stat().st_size / 1e6:.1f} MB")
