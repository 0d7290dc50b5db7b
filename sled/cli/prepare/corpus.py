"""What the commands that prepare corpora share: flags, and the closing report."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

from sled.cli.flags import add_output_flag, add_workers_flag
from sled.data.corpora.items import Item
from sled.data.corpora.options import HELD_OUT_SPLIT, ON_BAD, CorpusOptions, Limits

# Flags that do not change the result.
RUN_FLAGS = {"output", "num_workers", "shar"}


def add_corpus_flags(parser: argparse.ArgumentParser, decode_audio: bool = True) -> None:
    """Add the flags that all corpora of recordings have in common.

    Args:
        parser: Parser of the command.
        decode_audio: Default of `--decode_audio`.
    """
    output = parser.add_argument_group("output")
    add_output_flag(output, "folder for manifests and reports")
    output.add_argument("--split", default="train", help="name of the split: cuts_NAME.jsonl.gz")
    output.add_argument(
        "--shar", action="store_true", help="also copy text and audio into Lhotse Shar shards"
    )
    held_out = parser.add_argument_group(
        "held-out sentences", f"a split {HELD_OUT_SPLIT}, whose sentences are in no other split"
    )
    held_out.add_argument("--valid_share", type=float, default=0.0, help="share of sentences")
    held_out.add_argument("--valid_count", type=int, default=0, help="or number of utterances")
    held_out.add_argument("--seed", type=int, default=0, help="seed of the choice of sentences")

    checks = parser.add_argument_group("checks")
    limits = Limits()
    checks.add_argument(
        "--on_bad",
        choices=ON_BAD,
        default="skip",
        help="leave bad items out, or stop at the first one",
    )
    checks.add_argument(
        "--decode_audio",
        action=argparse.BooleanOptionalAction,
        default=decode_audio,
        help="decode all audio, and leave out what is silent or broken; otherwise only the headers "
        "of files are read",
    )
    checks.add_argument("--min_duration", type=float, default=limits.min_duration_s, help="in s")
    checks.add_argument("--max_duration", type=float, default=limits.max_duration_s, help="in s")
    checks.add_argument(
        "--min_chars_per_s",
        type=float,
        default=limits.min_chars_per_s,
        help="characters per second, without spaces: Mandarin has 4 to 6, English about 12",
    )
    checks.add_argument(
        "--max_chars_per_s",
        type=float,
        default=limits.max_chars_per_s,
        help="characters per second, without spaces",
    )
    add_workers_flag(checks, "check audio", default=0)


def prepare_from_args(args: argparse.Namespace, items: Iterable[Item]) -> None:
    """Prepare a corpus as the flags of `add_corpus_flags` say, and print the result.

    Raises:
        ValueError: For flags that cannot be followed, and as `prepare_corpus`.
    """
    from sled.data.corpora.prepare import manifest_path, prepare_corpus, rejected_path
    from sled.data.corpora.shar import shar_folder, write_shar

    options = CorpusOptions(
        split=args.split,
        valid_share=args.valid_share,
        valid_count=args.valid_count,
        seed=args.seed,
        on_bad=args.on_bad,
        limits=Limits(
            min_duration_s=args.min_duration,
            max_duration_s=args.max_duration,
            min_chars_per_s=args.min_chars_per_s,
            max_chars_per_s=args.max_chars_per_s,
            decode_audio=args.decode_audio,
        ),
    )
    settings = {name: value for name, value in vars(args).items() if name not in RUN_FLAGS}
    report = prepare_corpus(items, args.output, options, settings, args.num_workers)
    for split, count in report.utterances.items():
        manifest = manifest_path(args.output, split)
        print(f"{split}: {count} utterances, {report.hours[split]:.2f} h, {manifest}")
    if report.rejected:
        reasons = ", ".join(f"{reason} {count}" for reason, count in report.rejected.items())
        total = sum(report.rejected.values())
        print(f"rejected: {total} ({reasons}), {rejected_path(args.output, args.split)}")
    if args.shar:
        for split in options.splits:
            folder = shar_folder(args.output, split)
            write_shar(manifest_path(args.output, split), folder)
            print(f"{split}: shards in {folder}")


def report_manifests(manifests: Mapping[str, Path]) -> None:
    """Print number and duration of the utterances of each split."""
    from sled.data.manifests import load_cuts

    for split, manifest in manifests.items():
        cuts = load_cuts(manifest)
        hours = sum(cut.duration for cut in cuts) / 3600
        print(f"{split}: {len(cuts)} utterances, {hours:.2f} h, {manifest}")
