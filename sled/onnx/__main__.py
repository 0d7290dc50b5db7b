"""Speak with a folder of ONNX graphs: python -m sled.onnx FOLDER TEXT -o out.wav."""

from __future__ import annotations

import argparse
import sys

import soundfile

from sled.onnx.tts import OnnxTTS


def main() -> int:
    """Speak as the flags say."""
    parser = argparse.ArgumentParser(prog="python -m sled.onnx", description=__doc__)
    parser.add_argument("folder", help="what sled export --onnx has written")
    parser.add_argument("text")
    parser.add_argument("--output", "-o", default="out.wav", help="audio file to write")
    parser.add_argument("--voice", help="a voice in the folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    args = parser.parse_args()
    try:
        tts = OnnxTTS(args.folder, args.threads)
        audio = tts.say(args.text, voice=args.voice, seed=args.seed)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    soundfile.write(args.output, audio, tts.sample_rate)
    print(f"{args.output}: {len(audio) / tts.sample_rate:.2f} s of audio at {tts.sample_rate} Hz")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
