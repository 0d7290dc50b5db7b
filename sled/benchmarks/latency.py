"""Delay of the first audio, and whether a stream keeps up, at several speeds of the writer."""

from __future__ import annotations

import argparse
from itertools import cycle, islice
from typing import Any

import numpy as np

from sled.benchmarks.flags import check_at_least, open_device
from sled.benchmarks.models import load_tts
from sled.benchmarks.report import Report, Spread, describe_machine, table
from sled.benchmarks.token_chain import chain_tts
from sled.decoding import DecodingOptions
from sled.simulation.client import Timeline, converse
from sled.simulation.pacing import release, schedule
from sled.tts import TTS

WORDS = ("four", "two", "seven", "one", "nine", "zero", "eight")
# Duration of a word: 35 frames at 75 per second.
WORD_S = 35 / 75


def measure(args: argparse.Namespace) -> Report:
    """Run sessions as the flags say.

    Raises:
        ValueError: For flags that cannot be used.
    """
    check_at_least(args, 1, "words", "rounds", "threads", "draws")
    device = open_device(args)
    if args.family is None:
        tts = load_tts(args.size, device, args.dtype)
    else:
        tts = chain_tts(args.size, device)
        args.cfg, args.dtype = 1.0, "float32"  # as the report shall tell
    frames = round(args.words * WORD_S * tts.codec.frame_rate)
    options = DecodingOptions(
        cfg=args.cfg,
        draws=args.draws,
        # Untrained models stop anywhere, so the length of the speech is fixed.
        stop_threshold=2.0,
        length_tolerance=None,
        min_frames=frames,
        max_frames=frames,
    )
    text = [f"{word} " for word in islice(cycle(WORDS), args.words)]
    warm_up = _hold_session(tts, options, text, float("inf"))
    if len(warm_up.chunks) < 2:
        raise ValueError(f"--words {args.words}: all audio comes at once: give more words")
    by_speed = {
        speed: [_hold_session(tts, options, text, speed) for _ in range(args.rounds)]
        for speed in args.words_per_second
    }
    figures: dict[str, Any] = {"speeds": {}}
    rows = [("words per second", "first audio, ms", "smallest margin, ms", "underruns", "RTF")]
    for speed, timelines in by_speed.items():
        own = _figures(timelines, tts.codec.sample_rate)
        figures["speeds"][str(speed)] = own
        rows.append(
            (
                f"{speed:g}",
                f"{own['first_audio']:.0f}",
                f"{own['smallest_margin']:.0f}",
                f"{own['underruns']}",
                f"{own['rtf']:.2f}",
            )
        )
    at_once = by_speed[args.words_per_second[0]]
    first = [1e3 * _first_audio_s(timeline) for timeline in at_once]
    whole = [1e3 * _last_audio_s(timeline) for timeline in at_once]
    figures |= {
        "first_audio_ms": float(np.median(first)),
        "first_audio_p95_ms": float(np.percentile(first, 95)),
        "rtf": figures["speeds"][str(args.words_per_second[0])]["rtf"].median,
        "ratio": float(np.median(whole) / np.median(first)),
    }
    text_out = (
        f"{table(rows)}\n\nmedian (quartiles) of {args.rounds} sessions; first audio is counted "
        "from the first word; the margin is the time from the arrival of a chunk until it is "
        "played.\n"
        f"Without streaming, the first audio would come {figures['ratio']:.1f} times as late."
    )
    settings = {key: str(value) for key, value in vars(args).items()}
    return Report("latency", describe_machine(device), settings, figures, text_out)


def _hold_session(tts: TTS, options: DecodingOptions, words: list[str], speed: float) -> Timeline:
    with tts.open_session(decoding=options, max_ahead_s=None) as session:
        timeline = converse(session, release(schedule(words, speed)))
    return timeline


def _first_audio_s(timeline: Timeline) -> float:
    return timeline.chunks[0][0] - timeline.first_text_s


def _last_audio_s(timeline: Timeline) -> float:
    return timeline.chunks[-1][0] - timeline.first_text_s


def _figures(timelines: list[Timeline], sample_rate: int) -> dict[str, Any]:
    """Return the figures of the sessions at one speed."""
    playbacks = [timeline.playback(sample_rate) for timeline in timelines]
    return {
        "first_audio": Spread.of([1e3 * _first_audio_s(timeline) for timeline in timelines]),
        "smallest_margin": Spread.of(
            [1e3 * min(chunk.margin_s for chunk in one.chunks[1:]) for one in playbacks]
        ),
        "underruns": sum(len(one.stalls_s) for one in playbacks),
        "rtf": Spread.of(
            [
                _last_audio_s(timeline) / one.duration_s
                for timeline, one in zip(timelines, playbacks, strict=True)
            ]
        ),
    }
