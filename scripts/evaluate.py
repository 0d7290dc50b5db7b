#!/usr/bin/env python
"""Have a test set of digit strings spoken, and count the digits that Whisper hears wrongly."""

import argparse
import logging
from functools import cache
from itertools import islice
from pathlib import Path

from sled.cli import choose_device, run_main
from sled.codec import load_codec
from sled.data.audio import write_audio
from sled.data.manifests import load_cuts
from sled.evaluation.report import judge, markdown_tables, write_report
from sled.evaluation.systems import Recital, recite_codec, recite_model, recite_recordings
from sled.evaluation.transcribe import Transcriber
from sled.generate import DecodingOptions
from sled.layout import Layout
from sled.tts import TTS

MODES = ("teacher", "codec", "offline", "stream", "clone")


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
        default=list(MODES),
        help="teacher: the recordings; codec: the recordings through the codec; offline, stream: "
        "the models; clone: the offline model, continuing another test recording",
    )
    test.add_argument("--limit", type=int, help="take only the first so many strings")

    model = parser.add_argument_group("models")
    model.add_argument("--model", help="checkpoint; unset: the bundled one")
    model.add_argument("--stream_model", help="another checkpoint for the mode stream")
    model.add_argument("--codec", help="codec; unset: the one in or beside the checkpoint")
    model.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps, or auto")
    model.add_argument("--cfg", type=float, default=2.0, help="guidance scale, 1 for none")
    model.add_argument("--temperature", type=float, default=1.0, help="scale of the noise")
    model.add_argument("--stop_threshold", type=float, help="unset: 0.8 offline, 0.5 streaming")
    model.add_argument("--seed", type=int, default=0, help="of the first string, then counted up")
    model.add_argument("--batch_size", type=int, default=1, help="strings spoken at once")

    listener = parser.add_argument_group("listener")
    listener.add_argument("--whisper", default="base", help="Whisper size, hub name or folder")
    listener.add_argument(
        "--numerals",
        action="store_true",
        help="let Whisper write numerals; it then drops repeated digits that were spoken",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--output", type=Path, required=True, help="folder for the results")
    output.add_argument("--save_audio", action="store_true", help="keep the speech there too")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Parse the flags, let each system speak, and report."""
    args = build_parser().parse_args(argv)
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)  # else a line per string
    for name in ("limit", "batch_size"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ValueError(f"--{name} {getattr(args, name)}: give 1 or more")
    options = DecodingOptions(
        cfg=args.cfg, temperature=args.temperature, stop_threshold=args.stop_threshold
    )
    device = choose_device(args.device)
    cuts = list(islice(load_cuts(args.manifest), args.limit))
    transcriber = Transcriber(args.whisper, numerals=args.numerals)
    args.output.mkdir(parents=True, exist_ok=True)

    @cache
    def load_tts(layout: str) -> TTS:
        name = (layout == "stream" and args.stream_model) or args.model
        tts = TTS.from_pretrained(name, codec=args.codec, device=device)
        if layout == "stream" and tts.model.layout.is_offline:
            raise ValueError(f"{name} is no streaming checkpoint: name one with --stream_model")
        return tts

    def recite(mode: str) -> Recital:
        if mode == "teacher":
            return recite_recordings(cuts)
        if mode == "codec":
            codec = load_codec(args.codec, device) if args.codec else load_tts("offline").codec
            return recite_codec(cuts, codec, device)
        tts = load_tts("stream" if mode == "stream" else "offline")
        return recite_model(
            cuts,
            tts,
            options,
            layout=None if mode == "stream" else Layout(),
            clone=mode == "clone",
            seed=args.seed,
            batch_size=args.batch_size,
        )

    reports = []
    for mode in dict.fromkeys(args.modes):
        recital = recite(mode)
        if args.save_audio:
            folder = args.output / mode
            folder.mkdir(exist_ok=True)
            for cut, waveform in zip(cuts, recital.waveforms, strict=True):
                write_audio(folder / f"{cut.id}.flac", waveform, recital.sample_rate)
        reports.append(judge(mode, recital, cuts, transcriber))
    settings = {key: str(value) for key, value in vars(args).items() if key != "output"}
    write_report(reports, settings, args.output)
    print(markdown_tables(reports))


if __name__ == "__main__":
    run_main(main)
