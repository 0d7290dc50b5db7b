"""Find when each word and letter of a corpus is said, and write cut manifests with the times.

A small network is trained on the corpus itself to spell what it hears; no other model or data is
needed. Of several manifests, it is trained on the first, and on the next ones if the first has less
speech than --train_hours. The times are Lhotse alignments in the
supervision of each cut. A cut that does not seem to match its text, or cannot be read, has none.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sled.cli.flags import add_device_flag, add_workers_flag

EXAMPLE = "sled align --manifest cuts_train.jsonl.gz -o aligned_train.jsonl.gz"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled align`."""
    corpus = parser.add_argument_group("corpus")
    corpus.add_argument(
        "--manifest",
        nargs="+",
        required=True,
        help="cut manifests to align; the one to train the network on is the first",
    )
    corpus.add_argument(
        "--output",
        "-o",
        type=Path,
        nargs="+",
        required=True,
        help="cut manifest to write for each, .jsonl or .jsonl.gz",
    )
    corpus.add_argument(
        "--model",
        help="normalise texts as this checkpoint does (folder, hub name or bundled model), to "
        "fine-tune it with the times",
    )
    corpus.add_argument(
        "--text_normalization",
        help="normalisation of texts, the same as in the training that will use the times: english "
        "or english-phonemes; unset: none, and case is ignored",
    )
    corpus.add_argument(
        "--on_bad",
        choices=("skip", "stop"),
        default="skip",
        help="keep cuts without text or usable audio without times and list them, or stop",
    )
    training = parser.add_argument_group("training of the network")
    training.add_argument(
        "--max_steps", type=int, default=1500, help="training steps of about 80 s of speech each"
    )
    training.add_argument(
        "--train_hours",
        type=float,
        default=5.0,
        help="approximate hours of speech to train on, drawn at random and kept in memory (46 MB "
        "per hour)",
    )
    training.add_argument(
        "--network",
        type=Path,
        metavar="FILE",
        help="also write the network as a safetensors file, which sled cache best-readings takes",
    )
    training.add_argument(
        "--trained",
        type=Path,
        metavar="FILE",
        help="align with a network that --network wrote for texts like these, instead of training "
        "one",
    )
    training.add_argument("--seed", type=int, default=0, help="seed of the training")
    add_workers_flag(training, "read audio ahead")
    add_device_flag(training)


def run(args: argparse.Namespace) -> None:
    """Align, and print a summary for each manifest.

    Raises:
        ValueError: For flags that exclude each other, and as `align_corpora`.
    """
    from sled.cli.device import choose_device
    from sled.data.alignment import TrainingOptions, align_corpora
    from sled.data.alignment.trained import TrainedAligner
    from sled.data.manifests import load_cuts

    device = choose_device(args.device)
    reports = align_corpora(
        list(map(load_cuts, args.manifest)),
        args.output,
        text_normalization=_read_normalization(args),
        options=TrainingOptions(
            max_steps=args.max_steps, train_hours=args.train_hours, seed=args.seed
        ),
        device=device,
        num_workers=args.num_workers,
        network_file=args.network,
        trained=None if args.trained is None else TrainedAligner.load(args.trained, device),
        on_bad=args.on_bad,
    )
    for report, output in zip(reports, args.output, strict=True):
        print(f"aligned: {report}")
        for reason in list(report.unusable.values())[:5]:
            print(f"without times: {reason}")
        for what, ids in (
            ("without text or usable audio", list(report.unusable)),
            ("too short for their text", report.too_short),
            ("that do not sound like their text", report.doubtful),
        ):
            if ids:
                print(f"{len(ids)} cuts {what}: {', '.join(ids[:5])}{', ...' if ids[5:] else ''}")
        print(f"times of words and letters in {output}")


def _read_normalization(args: argparse.Namespace) -> str | None:
    """The normalisation that the flags, or the checkpoint they name, ask for."""
    if args.model is None:
        normalization: str | None = args.text_normalization
        return normalization
    if args.text_normalization is not None:
        raise ValueError("--model and --text_normalization exclude each other: give one")
    from sled.loading import model_folder
    from sled.model.config import Config

    normalization = Config.load(model_folder(args.model)).architecture.text_normalization
    return normalization
