#!/usr/bin/env python
"""Prepare a voice from a short recording, so that speaking with it starts at once."""

import argparse
from pathlib import Path

from sled.cli.speaking import add_dtype_flag, choose_device, run_main
from sled.model.layout import Layout
from sled.tts import TTS, Prompt


def main(argv: list[str] | None = None) -> None:
    """Parse the flags, prepare the voice, and write its file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--model_name_or_path", help="checkpoint, or a bundled voice; unset: the default one"
    )
    parser.add_argument("--codec", help="codec; unset: the one in or beside the checkpoint")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps, or auto")
    add_dtype_flag(parser)
    parser.add_argument("--prompt_audio", required=True, help="recording of the voice")
    parser.add_argument("--prompt_text", required=True, help="the words spoken in it")
    parser.add_argument(
        "--layout",
        choices=("offline", "stream"),
        default="stream",
        help="in which the voice will speak",
    )
    parser.add_argument("--output", type=Path, required=True, help="voice file (.safetensors)")
    args = parser.parse_args(argv)
    if not args.output.parent.is_dir():
        raise ValueError(f"--output {args.output}: no folder {args.output.parent}: create it first")
    tts = TTS.from_pretrained(
        args.model_name_or_path,
        codec=args.codec,
        device=choose_device(args.device),
        dtype=args.dtype,
    )
    layout = Layout() if args.layout == "offline" else tts.model.layout
    voice = tts.make_voice(Prompt(args.prompt_text, args.prompt_audio), layout)
    tts.save_voice(voice, args.output)
    seconds = len(voice.latents) / tts.codec.frame_rate
    print(f"{args.output}: a voice of {seconds:.1f} s, {args.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    run_main(main)
