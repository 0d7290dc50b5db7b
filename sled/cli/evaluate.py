"""Let a model speak a test set, and count the words (or digits) that Whisper hears wrongly.

Digit strings are scored in digits, any other text in English words. On request, a speaker encoder
measures how similar the voice is to the recordings, and DNSMOS how natural the speech sounds.
"""

from __future__ import annotations

import argparse

from sled.cli.flags import (
    add_model_flags,
    add_output_flag,
    add_sampling_flags,
    add_stop_threshold_flag,
    add_track_text_flag,
    given,
)
from sled.evaluation.modes import DEFAULT_MODES, MODES

EXAMPLE = "sled evaluate --manifest cuts_test.jsonl.gz --model model --modes model -o results"

RECOMMENDED = ("cfg", "temperature", "draws")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled evaluate`."""
    test = parser.add_argument_group("what is compared")
    test.add_argument("--manifest", required=True, help="cut manifest of the test set")
    test.add_argument(
        "--modes",
        nargs="+",
        choices=MODES,
        default=list(DEFAULT_MODES),
        help="; ".join(f"{mode}: {meaning}" for mode, meaning in MODES.items()),
    )
    test.add_argument("--limit", type=int, help="use only this many utterances, from the start")

    model = add_model_flags(parser)
    model.add_argument("--stream_model", help="another checkpoint for the modes stream and live")

    decoding = parser.add_argument_group("decoding")
    add_sampling_flags(decoding)
    add_stop_threshold_flag(decoding)
    add_track_text_flag(decoding)
    decoding.add_argument(
        "--seed", type=int, default=0, help="seed of the first text, counted up for the others"
    )
    decoding.add_argument(
        "--characters_per_second",
        type=float,
        default=20.0,
        help="simulated speed of the writer in the mode live",
    )
    decoding.add_argument("--batch_size", type=int, default=1, help="texts spoken at once")

    judges = parser.add_argument_group("judges")
    judges.add_argument(
        "--whisper",
        default="base",
        help="Whisper size, which is downloaded from the hub when it is first used, or the folder "
        "of a model for faster-whisper",
    )
    judges.add_argument(
        "--numerals",
        action="store_true",
        help="let Whisper write numerals; it then drops repeated digits that were spoken",
    )
    judges.add_argument(
        "--speaker_encoder",
        help="compare voices with an x-vector model of transformers (folder or hub name), such as "
        "microsoft/wavlm-base-plus-sv, or with resemblyzer; unset: voices are not compared",
    )
    judges.add_argument(
        "--dnsmos", action="store_true", help="rate how natural the speech sounds, from 1 to 5"
    )
    output = parser.add_argument_group("output")
    add_output_flag(output, "folder for the results")
    output.add_argument("--save_audio", action="store_true", help="also keep the speech there")


def run(args: argparse.Namespace) -> None:
    """Let each system speak, judge it, and report.

    Raises:
        ValueError: For flags that cannot be followed.
    """
    for name in ("limit", "batch_size"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ValueError(f"--{name} {getattr(args, name)}: give 1 or more")
    import logging
    from itertools import islice

    from sled.cli.device import choose_device
    from sled.data.manifests import load_cuts
    from sled.decoding import DecodingOptions
    from sled.evaluation.quality import QualityJudge, load_dnsmos
    from sled.evaluation.report import judge, markdown_tables, write_report
    from sled.evaluation.speaker import SpeakerJudge, load_speaker_encoder
    from sled.evaluation.systems import Systems
    from sled.transcribe import Transcriber

    logging.getLogger("faster_whisper").setLevel(logging.WARNING)  # else a line per utterance
    options = DecodingOptions(
        stop_threshold=args.stop_threshold,
        track_text=args.track_text,
        **given(args, *RECOMMENDED),  # type: ignore[arg-type]
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
        recommended=[name for name in RECOMMENDED if getattr(args, name) is None],
    )
    args.output.mkdir(parents=True, exist_ok=True)
    reports = []
    for mode in dict.fromkeys(args.modes):
        synthesis = systems.speak(mode)
        if args.save_audio:
            synthesis.save(args.output / mode, [cut.id for cut in cuts])
        reports.append(judge(mode, synthesis, cuts, transcriber, speaker_judge, quality_judge))
    settings = {key: str(value) for key, value in vars(args).items() if key != "output"}
    write_report(reports, settings, args.output)
    print(markdown_tables(reports))
