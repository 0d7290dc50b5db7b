#!/usr/bin/env python
"""Make an English corpus: open teacher voices read books and made sentences; recordings may join.

Run it again to continue an interrupted run.
"""

import argparse
from functools import cache
from pathlib import Path

from sled.cli.speaking import run_main
from sled.data.manifests import load_cuts
from sled.data.synthetic.english import MAIN_SPEAKER, EnglishOptions, prepare_english
from sled.data.synthetic.teachers import Teacher, load_hibari, load_kokoro


def main(argv: list[str] | None = None) -> None:
    """Parse the flags, make the corpus, and say how much it is."""
    args = make_parser().parse_args(argv)
    if args.voices and not (args.kokoro_model and args.kokoro_voices):
        raise ValueError("--voices are those of Kokoro: name --kokoro_model and --kokoro_voices")
    kokoro = cache(lambda: load_kokoro(args.kokoro_model, args.kokoro_voices))

    def teacher(name: str) -> Teacher:
        if name == MAIN_SPEAKER:
            return load_hibari()
        if name not in kokoro():
            raise ValueError(f"--voices {name}: choose from {' '.join(kokoro())}")
        return kokoro()[name]

    options = EnglishOptions(
        texts=args.texts,
        test_texts=args.test_texts,
        hours=args.hours,
        voices=tuple(args.voices),
        voice_hours=args.voice_hours,
        recordings=args.recordings,
        held_out=args.held_out,
        word_share=args.word_share,
        piece_share=args.piece_share,
        made_share=args.made_share,
        joined_share=args.joined_share,
        num_valid=args.num_valid,
        seed=args.seed,
    )
    for split, manifest in prepare_english(args.output, options, teacher).items():
        cuts = load_cuts(manifest)
        hours = sum(cut.duration for cut in cuts) / 3600
        print(f"{split}: {len(cuts)} utterances, {hours:.2f} h, {manifest}")


def make_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the corpus")
    texts = parser.add_argument_group("texts")
    texts.add_argument("--texts", type=Path, required=True, help="sentences, one a line")
    texts.add_argument(
        "--test_texts", type=Path, required=True, help="sentences for judging, never trained on"
    )
    texts.add_argument(
        "--num_valid", type=int, default=100, help="sentences to validate on, and pieces of them"
    )
    texts.add_argument(
        "--word_share", type=float, default=0.15, help="share of the hours for single words"
    )
    texts.add_argument(
        "--piece_share",
        type=float,
        default=0.35,
        help="share of the hours for pieces of two to ten words of sentences",
    )
    texts.add_argument(
        "--made_share",
        type=float,
        default=0.25,
        help="share of made sentences: numbers, names, questions, very short and long ones",
    )
    texts.add_argument(
        "--joined_share",
        type=float,
        default=0.2,
        help="share of readings that go on after a pause, of those that begin with a short one",
    )
    voices = parser.add_argument_group("voices")
    voices.add_argument("--hours", type=float, default=10.0, help="of hibari-tts, about")
    voices.add_argument("--voices", nargs="*", default=[], help="English voices of Kokoro as well")
    voices.add_argument("--voice_hours", type=float, default=1.0, help="of each of these, about")
    voices.add_argument("--kokoro_model", type=Path, help="ONNX file of Kokoro-82M")
    voices.add_argument("--kokoro_voices", type=Path, help="NumPy archive of its voices")
    voices.add_argument(
        "--recordings",
        type=Path,
        help="recordings of one person, named as their folder: JSON lines with audio and text",
    )
    voices.add_argument(
        "--held_out", help="a speaker to be cloned, never trained on: a voice, or who was recorded"
    )
    parser.add_argument("--seed", type=int, default=0, help="decides texts and audio")
    return parser


if __name__ == "__main__":
    run_main(main)
