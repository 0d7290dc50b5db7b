"""What the scripts that prepare corpora share: flags, and the closing report."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from sled.data.corpora.checks import Limits
from sled.data.corpora.items import Item
from sled.data.corpora.prepare import (
    HELD_OUT_SPLIT,
    ON_BAD,
    CorpusOptions,
    manifest_path,
    prepare_corpus,
    rejected_path,
)
from sled.data.corpora.shar import shar_folder, write_shar

# These say where and how a run works, not what comes out.
RUN_FLAGS = {"output_dir", "num_workers", "shar"}


def corpus_parser(description: str | None) -> argparse.ArgumentParser:
    """The flags that all corpora have in common."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output_dir", type=Path, required=True, help="folder for manifests and reports"
    )
    output.add_argument("--split", default="train", help="name of the split: cuts_NAME.jsonl.gz")
    output.add_argument(
        "--shar", action="store_true", help="also copy text and audio into Lhotse Shar shards"
    )
    held_out = parser.add_argument_group(
        "held-out sentences", f"a split {HELD_OUT_SPLIT} whose sentences are nowhere else"
    )
    held_out.add_argument("--valid_share", type=float, default=0.0, help="share of sentences")
    held_out.add_argument("--valid_count", type=int, default=0, help="or number of utterances")
    held_out.add_argument("--seed", type=int, default=0, help="decides which ones")

    checks = parser.add_argument_group("checks")
    limits = Limits()
    checks.add_argument(
        "--on_bad", choices=ON_BAD, default="skip", help="leave bad items out, or stop at the first"
    )
    checks.add_argument(
        "--decode_audio", action="store_true", help="decode all audio, not only read the headers"
    )
    checks.add_argument("--min_duration", type=float, default=limits.min_duration_s, help="in s")
    checks.add_argument("--max_duration", type=float, default=limits.max_duration_s, help="in s")
    checks.add_argument(
        "--min_chars_per_s",
        type=float,
        default=limits.min_chars_per_s,
        help="characters a second, spaces aside: Mandarin has 4 to 6, English about 12",
    )
    checks.add_argument(
        "--max_chars_per_s", type=float, default=limits.max_chars_per_s, help="likewise"
    )
    checks.add_argument(
        "--num_workers", type=int, default=0, help="processes that check audio, 0: none but this"
    )
    return parser


def prepare_from_args(args: argparse.Namespace, items: Iterable[Item]) -> None:
    """Prepare a corpus as the flags of `corpus_parser` say, and print what became of it.

    Raises:
        ValueError: for flags that cannot be followed, and as `prepare_corpus`.
    """
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
    report = prepare_corpus(items, args.output_dir, options, settings, args.num_workers)
    for split, count in report.utterances.items():
        manifest = manifest_path(args.output_dir, split)
        print(f"{split}: {count} utterances, {report.hours[split]:.2f} h, {manifest}")
    if report.rejected:
        reasons = ", ".join(f"{reason} {count}" for reason, count in report.rejected.items())
        total = sum(report.rejected.values())
        print(f"rejected: {total} ({reasons}), {rejected_path(args.output_dir, args.split)}")
    if args.shar:
        for split in options.splits:
            folder = shar_folder(args.output_dir, split)
            write_shar(manifest_path(args.output_dir, split), folder)
            print(f"{split}: shards in {folder}")
