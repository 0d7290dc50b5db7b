"""Speed of the data loader, from cached codes and from audio, and padding of its batches.

The first corpus is the baseline.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lhotse import CutSet
from lhotse.cut import Cut
from torch.utils.data import DataLoader

from sled.benchmarks.corpus import (
    DrawnCodes,
    draw_durations,
    make_cuts,
    write_audio_corpus,
    write_cached_corpus,
)
from sled.benchmarks.flags import check_at_least
from sled.benchmarks.padding import batching_policies, padding_shares
from sled.benchmarks.report import Report, Spread, describe_machine, table
from sled.codec import Codec
from sled.data.dataset import SpeechDataset, collate, open_corpus
from sled.data.sampling import SpeechBatches, TrainingBatches
from sled.text.tokenizer import TextTokenizer

# Enough to fill the buckets, as a large corpus does.
CUTS_FOR_PADDING = 2000
TOKENIZER_SIZE = 2000
LIBRIHEAVY_SAMPLE_RATE = 16_000


def measure(args: argparse.Namespace) -> Report:
    """Measure loading and padding.

    Raises:
        ValueError: For flags or corpora that cannot be used.
    """
    check_at_least(args, 1, "num_cuts", "rounds", "batch_size", "frames", "quadratic_duration_s")
    if min(args.num_workers) < 0:
        raise ValueError(f"--num_workers {args.num_workers}: give 0 or more")
    codec = DrawnCodes()  # only its rates are used
    with TemporaryDirectory() as scratch:
        if args.manifest:
            paths = {str(path): path for path in args.manifest}
            to_batch = {
                name: list(islice(open_corpus([path], data_path=args.data_path), CUTS_FOR_PADDING))
                for name, path in paths.items()
            }
        else:
            paths = _write_corpora(Path(scratch), args.num_cuts)
            to_batch = {"like Libriheavy": list(make_cuts(draw_durations(CUTS_FOR_PADDING)))}
        if args.tokenizer is not None:
            tokenizer = TextTokenizer.from_pretrained(args.tokenizer)
        else:
            texts = (_text(cut) for cuts in to_batch.values() for cut in cuts)
            tokenizer = TextTokenizer.train(texts, TOKENIZER_SIZE)
        padding = _measure_padding(args, to_batch, tokenizer, codec)
        loading = _measure_loading(args, paths, SpeechDataset(tokenizer, codec))
    rates = loading_rates(loading, codec.frame_rate)
    text = f"{_describe_rates(rates)}\n\n{_describe_padding(padding)}"
    figures = {"loading": rates, "padding": padding}
    return Report("data", describe_machine(), vars(args), figures, text)


def _write_corpora(folder: Path, num_cuts: int) -> dict[str, Path]:
    """Write the same cuts as audio, the baseline, and as codes."""
    durations = draw_durations(num_cuts)
    return {
        "audio": write_audio_corpus(folder / "audio", durations, LIBRIHEAVY_SAMPLE_RATE, ".flac"),
        "codes": write_cached_corpus(folder / "codes", durations),
    }


def _text(cut: Cut) -> str:
    return (cut.supervisions[0].text or "") if cut.supervisions else ""


# Padding.


def _measure_padding(
    args: argparse.Namespace,
    corpora: Mapping[str, Sequence[Cut]],
    tokenizer: TextTokenizer,
    codec: Codec,
) -> dict[str, dict[str, float]]:
    """Return padding shares by corpus and policy."""
    policies = batching_policies(
        args.batch_size, args.frames / codec.frame_rate, args.quadratic_duration_s
    )
    shares = {}
    for name, cuts in corpora.items():
        positions = [
            len(tokenizer.encode(_text(cut))) + round(cut.duration * codec.frame_rate)
            for cut in cuts
        ]
        shares[name] = padding_shares(cuts, positions, policies)
    return shares


def _describe_padding(padding: Mapping[str, Mapping[str, float]]) -> str:
    rows = [["padding, share of positions", *padding]]
    for policy in next(iter(padding.values())):
        rows.append([f"  {policy}", *(f"{shares[policy]:.1%}" for shares in padding.values())])
    return (
        f"{table(rows)}\n"
        "Only attention is padded, and only on a GPU; the rest runs on packed samples."
    )


# Loading.


def load_rounds(
    dataset: SpeechDataset,
    batches: SpeechBatches,
    *,
    rounds: int,
    batches_per_round: int,
    num_workers: int,
) -> list[tuple[int, float]]:
    """Time the loader, epoch after epoch, as in training.

    One more round comes first and is not counted, since a loader takes a while to start.

    Returns:
        Frames and seconds of each round.
    """
    loader = DataLoader(
        dataset,
        batch_sampler=TrainingBatches(batches),
        collate_fn=collate,
        num_workers=num_workers,
    )
    stream, measured = iter(loader), []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        frames = sum(int(next(stream)["num_frames"].sum()) for _ in range(batches_per_round))
        measured.append((frames, time.perf_counter() - start))
    return measured[1:]


def _measure_loading(
    args: argparse.Namespace, paths: Mapping[str, Path], dataset: SpeechDataset
) -> dict[tuple[str, int], list[float]]:
    """Return frames per second of each round, by corpus and number of workers."""

    def measure(path: Path, num_workers: int) -> list[float]:
        def open_epoch(epoch: int) -> CutSet:
            return open_corpus([path], data_path=args.data_path, max_samples=args.num_cuts)

        measured = load_rounds(
            dataset,
            SpeechBatches(open_epoch, max_cuts=args.batch_size),
            rounds=args.rounds,
            batches_per_round=max(1, args.num_cuts // args.batch_size),
            num_workers=num_workers,
        )
        return [frames / seconds for frames, seconds in measured]

    return {
        (name, num_workers): measure(path, num_workers)
        for num_workers in args.num_workers
        for name, path in paths.items()
    }


def loading_rates(
    speeds: Mapping[tuple[str, int], Sequence[float]], frame_rate: float
) -> list[dict[str, Any]]:
    """Return the figures of each corpus and number of workers.

    Args:
        speeds: Frames per second of each round; the first corpus is the baseline.
        frame_rate: In Hz.
    """
    baseline = next(iter(speeds))[0]
    rates = []
    for (name, workers), measured in speeds.items():
        hours = [speed / frame_rate / 3600 / max(1, workers) for speed in measured]
        speed = Spread.of(measured)
        rates.append(
            {
                "corpus": name,
                "num_workers": workers,
                "hours_per_second_per_worker": Spread.of(hours),
                "frames_per_second": speed,
                "ratio": speed.over(Spread.of(speeds[baseline, workers])),
            }
        )
    return rates


def _describe_rates(rates: Sequence[Mapping[str, Any]]) -> str:
    rows = [["loading", "workers", "hours/s per worker", "frames/s, total", "ratio to the first"]]
    for rate in rates:
        rows.append(
            [
                f"  {rate['corpus']}",
                str(rate["num_workers"]),
                f"{rate['hours_per_second_per_worker']:.3f}",
                f"{rate['frames_per_second']:.0f}",
                f"{rate['ratio']:.1f}",
            ]
        )
    return f"{table(rows)}\nMedians and quartiles; 0 workers: the main process loads."
