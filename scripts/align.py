#!/usr/bin/env python
"""Find out when each word and letter of a corpus is said, and write a cut manifest that tells.

A small network is trained on the corpus itself to spell what it hears; no other model or data is
needed. Of several manifests it is trained on the first. The times are Lhotse alignments in each
cut's supervision. Cuts that do not seem to hold their text are kept without them.
"""

import argparse
import os
from pathlib import Path

from sled.cli.speaking import choose_device, run_main
from sled.data.alignment import TrainingOptions, align_corpora
from sled.data.manifests import load_cuts
from sled.model.config import Config


def main(argv: list[str] | None = None) -> None:
    """Parse the flags, align, and say what became of the cuts."""
    args = make_parser().parse_args(argv)
    reports = align_corpora(
        list(map(load_cuts, args.manifest)),
        args.output,
        text_normalization=choose_normalization(args.text_normalization, args.model),
        options=TrainingOptions(
            max_steps=args.max_steps, train_hours=args.train_hours, seed=args.seed
        ),
        device=choose_device(args.device),
        num_workers=args.num_workers,
    )
    for report, output in zip(reports, args.output, strict=True):
        print(f"aligned: {report}")
        for what, ids in (
            ("too short for their text", report.too_short),
            ("that do not sound like their text", report.doubtful),
        ):
            if ids:
                print(f"{len(ids)} cuts {what}: {', '.join(ids[:5])}{', ...' if ids[5:] else ''}")
        print(f"times of words and letters in {output}")


def choose_normalization(given: str | None, model: Path | None) -> str | None:
    """The normalisation of texts that is given, or that of a checkpoint."""
    if given is not None or model is None:
        return given
    return Config.load(model).architecture.text_normalization


def make_parser() -> argparse.ArgumentParser:
    """The flags."""
    defaults = TrainingOptions()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--manifest",
        nargs="+",
        required=True,
        help="cut manifests to align; the network is trained on the first",
    )
    parser.add_argument(
        "--output",
        type=Path,
        nargs="+",
        required=True,
        help="cut manifest to write for each, .jsonl or .jsonl.gz",
    )
    parser.add_argument(
        "--model", type=Path, help="checkpoint whose text normalisation to use, if it is not given"
    )
    parser.add_argument(
        "--text_normalization",
        help="what is done to texts first, as in the training that will use the times: english or "
        "english-phonemes; unset: nothing, and capitals count as small letters",
    )
    parser.add_argument(
        "--max_steps",
        type=int,
        default=defaults.max_steps,
        help="training steps, of some 80 s of speech each",
    )
    parser.add_argument(
        "--train_hours",
        type=float,
        default=defaults.train_hours,
        help="about so much speech, drawn at random, is trained on and kept in memory, "
        "46 MB an hour",
    )
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of the training")
    parser.add_argument(
        "--num_workers",
        type=int,
        default=min(4, os.cpu_count() or 1),
        help="processes that read audio ahead",
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps, or auto")
    return parser


if __name__ == "__main__":
    run_main(main)
