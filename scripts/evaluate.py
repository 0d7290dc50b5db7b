#!/usr/bin/env python
"""Have a test set spoken, and count the words (or digits) that Whisper hears wrongly.

Digit strings are counted in digits, any other text in English words. Asked to, a speaker encoder
also says how much the speech sounds like the recordings.
"""

import argparse
import logging
from itertools import islice
from pathlib import Path

from sled.cli.speaking import (
    add_draws_flag,
    add_dtype_flag,
    add_place_flag,
    choose_device,
    run_main,
)
from sled.data.manifests import load_cuts
from sled.decoding import DecodingOptions
from sled.evaluation.quality import QualityJudge, load_dnsmos
from sled.evaluation.report import judge, markdown_tables, write_report
from sled.evaluation.speaker import SpeakerJudge, load_speaker_encoder
from sled.evaluation.systems import MODES, Systems
from sled.evaluation.transcribe import Transcriber

DEFAULT_MODES = ["teacher", "codec", "offline", "stream", "clone"]


def build_parser() -> argparse.ArgumentParser:
    """All flags, with their defaults in the help."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    test = parser.add_argument_group("what is compared")
    test.add_argument("--manifest", required=True, help="cut manifest with the test set")
    test.add_argument(
        "--modes",
        nargs="+",
        choices=MODES,
        default=DEFAULT_MODES,
        help="; ".join(f"{mode}: {meaning}" for mode, meaning in MODES.items()),
    )
    test.add_argument("--limit", type=int, help="take only the first so many utterances")

    model = parser.add_argument_group("models")
    model.add_argument("--model", help="checkpoint, or a bundled voice; unset: the default one")
    model.add_argument("--stream_model", help="another checkpoint for the mode stream")
    model.add_argument("--codec", help="codec; unset: the one in or beside the checkpoint")
    model.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps, or auto")
    add_dtype_flag(model)
    model.add_argument(
        "--cfg", type=float, help="guidance scale, 1 for none; unset: as the model says, or 2"
    )
    model.add_argument(
        "--temperature", type=float, help="scale of the noise; unset: as the model says, or 1"
    )
    add_draws_flag(model)
    model.add_argument("--stop_threshold", type=float, help="unset: 0.8 offline, 0.5 streaming")
    add_place_flag(model)
    model.add_argument("--seed", type=int, default=0, help="of the first text, then counted up")
    model.add_argument(
        "--characters_per_second", type=float, default=20.0, help="speed of writing, mode live"
    )
    model.add_argument("--batch_size", type=int, default=1, help="texts spoken at once")

    judges = parser.add_argument_group("judges")
    judges.add_argument("--whisper", default="base", help="Whisper size, hub name or folder")
    judges.add_argument(
        "--numerals",
        action="store_true",
        help="let Whisper write numerals; it then drops repeated digits that were spoken",
    )
    judges.add_argument(
        "--speaker_encoder",
        help="x-vector model of transformers (folder or hub name), such as "
        "microsoft/wavlm-base-plus-sv, or resemblyzer; unset: voices are not compared",
    )
    judges.add_argument(
        "--dnsmos", action="store_true", help="also rate how good the speech sounds, from 1 to 5"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--output", type=Path, required=True, help="folder for the results")
    output.add_argument("--save_audio", action="store_true", help="keep the speech there too")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Parse the flags, let each system speak, and report."""
    args = build_parser().parse_args(argv)
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)  # else a line per utterance
    for name in ("limit", "batch_size"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ValueError(f"--{name} {getattr(args, name)}: give 1 or more")
    asked = {name: getattr(args, name) for name in ("cfg", "temperature", "draws")}
    own = [name for name, value in asked.items() if value is None]
    options = DecodingOptions(
        stop_threshold=args.stop_threshold,
        keep_place=args.keep_place,
        **{name: value for name, value in asked.items() if value is not None},
    )
    device = choose_device(args.device)
    cuts = list(islice(load_cuts(args.manifest), args.limit))
    transcriber = Transcriber(args.whisper, numerals=args.numerals)
    speaker_judge = None
    if args.speaker_encoder is not None:
        speaker_judge = SpeakerJudge(load_speaker_encoder(args.speaker_encoder, device), cuts)
    quality_judge = QualityJudge(load_dnsmos()) if args.dnsmos else None
    systems = Systems(
        cuts,
        options,
        model=args.model,
        stream_model=args.stream_model,
        codec=args.codec,
        device=device,
        dtype=args.dtype,
        seed=args.seed,
        batch_size=args.batch_size,
        characters_per_second=args.characters_per_second,
        own=own,
    )
    args.output.mkdir(parents=True, exist_ok=True)
    reports = []
    for mode in dict.fromkeys(args.modes):
        recital = systems.recite(mode)
        if args.save_audio:
            recital.save(args.output / mode, [cut.id for cut in cuts])
        reports.append(judge(mode, recital, cuts, transcriber, speaker_judge, quality_judge))
    settings = {key: str(value) for key, value in vars(args).items() if key != "output"}
    write_report(reports, settings, args.output)
    print(markdown_tables(reports))


if __name__ == "__main__":
    run_main(main)
