"""Make an English corpus: teacher models read sentences of books and made ones.

Recordings of a person can be added. The same command continues an interrupted run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sled.cli.flags import add_output_flag
from sled.cli.prepare.corpus import report_manifests

EXAMPLE = "sled prepare english --texts train.txt --test_texts test.txt --hours 10 -o data"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled prepare english`."""
    add_output_flag(parser, "folder for the corpus")
    parser.add_argument("--seed", type=int, default=0, help="seed of texts and audio")
    texts = parser.add_argument_group("texts")
    texts.add_argument("--texts", type=Path, required=True, help="sentences, one per line")
    texts.add_argument(
        "--test_texts", type=Path, required=True, help="test sentences, never trained on"
    )
    texts.add_argument(
        "--num_valid", type=int, default=100, help="validation sentences, and pieces of them"
    )
    texts.add_argument(
        "--word_share", type=float, default=0.15, help="share of the hours for single words"
    )
    texts.add_argument(
        "--piece_share",
        type=float,
        default=0.35,
        help="share of the hours for pieces of sentences, of two to ten words",
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
        help="share of readings joined to another one with a pause, of those that begin with a "
        "short sentence",
    )
    voices = parser.add_argument_group("voices")
    voices.add_argument("--hours", type=float, default=10.0, help="approximate hours of hibari-tts")
    voices.add_argument("--voices", nargs="*", default=[], help="additional voices, of Kokoro")
    voices.add_argument(
        "--piper_models",
        nargs="*",
        default=[],
        type=Path,
        metavar="FILE",
        help="additional voices, of Piper: ONNX files such as en_US-joe-medium.onnx, whose voice "
        "is named joe",
    )
    voices.add_argument(
        "--voice_hours",
        type=float,
        default=1.0,
        help="approximate hours of each of these, without single words",
    )
    voices.add_argument("--kokoro_model", type=Path, help="ONNX file of Kokoro-82M")
    voices.add_argument("--kokoro_voices", type=Path, help="NumPy archive of its voices")
    voices.add_argument(
        "--recordings",
        type=Path,
        help="recordings of a person, named as their folder: JSON lines with audio and text, and "
        "start and duration of parts",
    )
    voices.add_argument(
        "--held_out", help="a voice, or the recorded person, for cloning only: never trained on"
    )


def run(args: argparse.Namespace) -> None:
    """Make the corpus.

    Raises:
        ValueError: For voices that cannot be loaded, and as `prepare_english`.
    """
    if args.voices and not (args.kokoro_model and args.kokoro_voices):
        raise ValueError("--voices are those of Kokoro: name --kokoro_model and --kokoro_voices")
    from functools import cache

    from sled.data.synthetic.english import MAIN_SPEAKER, EnglishOptions, prepare_english
    from sled.data.synthetic.teachers import Teacher, load_hibari, load_kokoro, load_piper

    piper = {piper_name(path): path for path in args.piper_models}
    kokoro = cache(lambda: load_kokoro(args.kokoro_model, args.kokoro_voices))

    def teacher(name: str) -> Teacher:
        if name == MAIN_SPEAKER:
            return load_hibari()
        if name in piper:
            return load_piper(piper[name])
        if name not in kokoro():
            raise ValueError(f"--voices {name}: choose from {' '.join(kokoro())}")
        return kokoro()[name]

    options = EnglishOptions(
        texts=args.texts,
        test_texts=args.test_texts,
        hours=args.hours,
        voices=(*args.voices, *piper),
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
    report_manifests(prepare_english(args.output, options, teacher))


def piper_name(path: Path) -> str:
    """The voice of a Piper model, by its file: `<language>-<voice>-<quality>.onnx`."""
    parts = path.name.removesuffix(".onnx").split("-")
    return parts[1] if len(parts) == 3 else path.name.removesuffix(".onnx")
