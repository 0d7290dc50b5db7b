"""Let systems speak a test set, and judge their speech: words, voice, quality, timing, seams.

The test set and the way of judging are a protocol: one that comes with the package, a YAML file, or
simply a cut manifest. Everything is kept in the folder of --output; the same command goes on where
it was interrupted, and another command adds systems to the same test. The folder gets results.json,
results.md, and index.html, a page with all speech.
"""

from __future__ import annotations

import argparse

from sled.cli.evaluation_flags import (
    RECOMMENDED,
    add_judge_flags,
    add_seed_flags,
    add_test_flags,
    check_counts,
)
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


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled evaluate`."""
    test = parser.add_argument_group("what is compared")
    add_test_flags(test)
    test.add_argument(
        "--modes",
        nargs="+",
        choices=MODES,
        help="; ".join(f"{mode}: {meaning}" for mode, meaning in MODES.items())
        + "; unset: as the protocol says, for a manifest "
        + " ".join(DEFAULT_MODES)
        + ", and none with --system",
    )
    test.add_argument(
        "--system",
        action="append",
        default=[],
        metavar="NAME=WHERE",
        help="a system of others: a command with {text} and {output} in it (also {text_file}, "
        "{seed}, {prompt_audio}, {prompt_text}), the address of a server with OpenAI's interface, "
        "such as http://localhost:8000/v1?voice=alloy, or a folder with ID.wav of each text; can "
        "be given several times",
    )

    model = add_model_flags(parser)
    model.add_argument("--stream_model", help="another checkpoint for the modes stream and live")
    model.add_argument(
        "--voice",
        help="name of a voice that came with the model, see `sled voices list`; unset: its own",
    )

    decoding = parser.add_argument_group("decoding")
    add_sampling_flags(decoding)
    add_stop_threshold_flag(decoding)
    add_track_text_flag(decoding)
    add_seed_flags(decoding)
    decoding.add_argument(
        "--characters_per_second",
        type=float,
        default=20.0,
        help="simulated speed of the writer in the mode live",
    )

    add_judge_flags(parser)
    output = parser.add_argument_group("output")
    add_output_flag(output, "folder of the run")
    output.add_argument(
        "--save_audio", action="store_true", help="of older scripts: speech is always kept"
    )


def run(args: argparse.Namespace) -> None:
    """Let each system speak, judge it, and report.

    Raises:
        ValueError: For flags that cannot be followed.
    """
    check_counts(args)
    from sled.cli.evaluating import open_test
    from sled.evaluation.report import write_report
    from sled.evaluation.results import collect
    from sled.evaluation.systems import parse_system

    others = [parse_system(spec) for spec in args.system]
    modes = args.modes if args.modes is not None else None if not others else ()
    test = open_test(args, given(args, *RECOMMENDED), modes)
    for mode in test.modes:
        test.run.add(test.models.system(mode))
    for system in others:
        test.run.add(system)
    print(write_report(collect(test.run), args.output))
