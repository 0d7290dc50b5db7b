"""Speed and memory of decoding, and accuracy of the fast forms, beside the published algorithm."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import torch

from sled.benchmarks.fidelity import Fidelity, measure_fidelity
from sled.benchmarks.flags import (
    check_at_least,
    check_folder,
    open_device,
)
from sled.benchmarks.frames import FrameWriter, endless, profile_frames
from sled.benchmarks.heads import time_heads
from sled.benchmarks.memory import measure_read_rate, peak_memory_mb, step_bytes
from sled.benchmarks.models import load_tts, make_model, resolve_dtype
from sled.benchmarks.peers.in_turns import check_peer, describe_peers, time_in_turns_with_peers
from sled.benchmarks.picture import stacked_bars, timeline
from sled.benchmarks.report import Report, Spread, describe_machine, table
from sled.benchmarks.sizes import describe_weights, make_config
from sled.benchmarks.timing import time_in_turns
from sled.decoding import Request
from sled.fast import FusedModel
from sled.fast.native import NativeModel
from sled.fast.precision import has_runtime
from sled.model.config import Config
from sled.model.interface import FrameModel
from sled.model.lm import SpeechLM
from sled.tts import TTS

if TYPE_CHECKING:
    from sled.benchmarks.baseline import TwoPassBaseline

WORDS = ("four", "two", "seven", "one", "nine", "zero", "eight")
# So slow that a text is a single segment.
WORDS_PER_SECOND = 1.0
SPEECH_S = 10.0
TIMELINE_S = 3.0
OURS, BASELINE = "ours", "plain float32, two passes"
# Frames of each text that are compared with float32.
FIDELITY_FRAMES = 40


def measure(args: argparse.Namespace) -> Report:
    """Decode as the flags say, in turns with the baseline.

    Raises:
        ValueError: For flags that cannot be used, or if a peer fails.
    """
    check_at_least(
        args, 1, "batch", "frames", "rounds", "threads", "codec_threads", "context", "draws"
    )
    for picture in (args.picture, args.timeline):
        if picture is not None:
            check_folder(picture)
    if args.peer:
        check_peer(args.peer, args.peer_python)
    device = open_device(args)
    dtype = resolve_dtype(args.size, device, args.dtype)
    tts = load_tts(args.size, device, dtype, args.threads, args.codec_threads)
    config = tts.model.config
    if args.context + args.frames >= config.architecture.max_position_embeddings:
        raise ValueError(
            f"--context {args.context} and --frames {args.frames} are more than the model's "
            f"{config.architecture.max_position_embeddings} positions: give less"
        )

    figures: dict[str, Any] = {
        "rtf": _time_speech(tts, args),
        "first_audio_ms": _time_first_audio(tts, args),
    }
    peak = peak_memory_mb()  # of speaking: what follows needs more
    parts = profile_frames(tts.model, args.batch, args.context, args.cfg, args.frames, args.draws)
    codec_ms = _time_codec(tts)
    plain = _published_config(args.size)
    frame_ms = _time_frames(tts, args, plain)
    rows = args.batch * (1 if args.cfg == 1 else 2)
    read_rate = measure_read_rate() if device.type == "cpu" else None
    least = step_bytes(config, dtype, rows, args.context)
    floor_ms = None if read_rate is None else 1e3 * least / read_rate
    model_share = frame_ms[BASELINE].median * plain.architecture.frame_rate
    baseline_rtf = (model_share + codec_ms * config.architecture.frame_rate) / 1e3
    figures |= {
        "ms_per_frame": frame_ms[OURS].median,
        "ratio": args.batch * baseline_rtf / figures["rtf"],
        "peak_memory_mb": peak,
        "baseline_rtf": baseline_rtf,
        "spread_ms_per_frame": frame_ms,
        "codec_ms_per_frame": codec_ms,
        "parts_ms": parts,
        "read_gb_per_second": None if read_rate is None else read_rate / 1e9,
        "floor_ms": floor_ms,
        "floor_share": None if floor_ms is None else floor_ms / frame_ms[OURS].median,
        "fidelity": _measure_fidelity(tts, args, dtype) if args.fidelity else None,
        "heads_ms": _time_heads(args, device) if args.heads else None,
        "peers": _time_peers(tts, args) if args.peer else None,
    }
    if args.picture is not None:
        others = _profile_without_kernels(tts, args, dtype)
        args.picture.write_text(_draw(args, dtype, figures, others), encoding="utf-8")
    if args.timeline is not None:
        args.timeline.write_text(_draw_threads(tts, args, dtype), encoding="utf-8")
    settings = vars(args) | {"dtype": dtype}
    return Report(
        "generate", describe_machine(device), settings, figures, _describe(args, dtype, figures)
    )


def _published_config(size: str) -> Config:
    """Return the configuration of the baseline, which generates one frame per step."""
    return make_config("published" if size.startswith("published") else size)


def _text(seconds: float) -> str:
    return " ".join(islice(cycle(WORDS), int(seconds * WORDS_PER_SECOND)))


def _time_peers(tts: TTS, args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return real-time factor and first audio of ours and of the peer, timed in turns."""

    def speak() -> dict[str, float]:
        return {"rtf": _time_speech(tts, args), "first_audio_ms": _time_first_audio(tts, args)}

    return time_in_turns_with_peers(speak, args.peer, args.peer_python, args.rounds)


def _time_speech(tts: TTS, args: argparse.Namespace) -> float:
    """Return the real-time factor of whole texts, codec included."""
    most_frames = tts.model.config.architecture.max_position_embeddings // 2
    frames = min(int(SPEECH_S * tts.codec.frame_rate), most_frames)
    texts = [_text(SPEECH_S)] * args.batch
    tts.synthesize(texts, options=endless(args.cfg, args.draws, max_frames=20))  # warms up
    start = time.perf_counter()
    speech = tts.synthesize(texts, options=endless(args.cfg, args.draws, max_frames=frames))
    elapsed_s = time.perf_counter() - start
    return elapsed_s / speech[0].seconds


def _time_first_audio(tts: TTS, args: argparse.Namespace) -> float:
    """Return the median milliseconds from feeding the text to the first audio."""
    seconds = []
    for seed in range(args.rounds):
        options = endless(args.cfg, args.draws, max_frames=20)
        with tts.open_session(decoding=options, seed=seed) as session:
            start = time.perf_counter()
            session.feed(_text(SPEECH_S))
            session.flush()
            next(iter(session))
            seconds.append(time.perf_counter() - start)
    return 1e3 * Spread.of(seconds).median


def _time_codec(tts: TTS) -> float:
    """Return the milliseconds of the codec per frame, with all frames at once."""
    frames = int(SPEECH_S * tts.codec.frame_rate)
    latents = 0.1 * torch.randn(1, frames, *tts.codec.unit_shape, device=tts.codec.device)
    decode = {"codec": lambda: tts.codec.stream_decoder().decode(latents)}
    turns = time_in_turns(decode, 1, tts.codec.device)
    return 1e3 * turns["codec"][0] / frames


def _time_frames(tts: TTS, args: argparse.Namespace, plain: Config) -> dict[str, Spread]:
    """Return the milliseconds per frame of ours and of the baseline."""
    # Not earlier: it imports transformers, whose memory is not that of speaking.
    from sled.benchmarks.baseline import TwoPassBaseline

    baseline = TwoPassBaseline(plain, args.context, guided=args.cfg != 1)
    writers: dict[str, FrameWriter | TwoPassBaseline] = {
        OURS: FrameWriter(tts.model, args.batch, args.context, args.cfg, args.draws),
        BASELINE: baseline.to(tts.model.device),
    }
    seconds: dict[str, list[float]] = {name: [] for name in writers}
    for _ in range(args.rounds):
        for name, writer in writers.items():
            writer.begin()
            writer.write_frame()  # the first step also reads the end of the context
            start = time.perf_counter()
            for _ in range(args.frames):
                writer.write_frame()
            seconds[name].append(1e3 * (time.perf_counter() - start) / args.frames)
    return {name: Spread.of(measured) for name, measured in seconds.items()}


def _time_heads(args: argparse.Namespace, device: torch.device) -> dict[str, Spread]:
    return time_heads(make_config(args.size), device, args.batch, args.frames, args.rounds)


def _measure_fidelity(tts: TTS, args: argparse.Namespace, dtype: str) -> Fidelity:
    reference = make_model(args.size, torch.device("cpu"), torch.float32).to(tts.model.device)
    requests = [Request(tts.tokenizer.encode(_text(seconds))) for seconds in (2.0, 4.0)]
    return measure_fidelity(
        reference, tts.model, requests, num_frames=FIDELITY_FRAMES, cfg=args.cfg
    )


def _describe(args: argparse.Namespace, dtype: str, figures: Mapping[str, Any]) -> str:
    spread, fidelity = figures["spread_ms_per_frame"], figures["fidelity"]
    rows = [
        ["real-time factor, codec included", f"{figures['rtf']:.3f}"],
        ["first audio, ms", f"{figures['first_audio_ms']:.0f}"],
        ["a frame without the codec, ms", f"{spread[OURS]:.2f}"],
        *([f"  {part}", f"{ms:.2f}"] for part, ms in figures["parts_ms"].items()),
        ["the codec, all frames at once, ms a frame", f"{figures['codec_ms_per_frame']:.2f}"],
        [f"the baseline ({BASELINE}), ms", f"{spread[BASELINE]:.1f}"],
        ["  its real-time factor", f"{figures['baseline_rtf']:.2f}"],
        ["speed relative to the baseline", f"{figures['ratio']:.1f}"],
    ]
    if figures["floor_ms"] is not None:
        rows += [
            ["memory read rate, GB/s", f"{figures['read_gb_per_second']:.1f}"],
            ["  least time of a frame by that, ms", f"{figures['floor_ms']:.2f}"],
            ["  share of the measured time", f"{figures['floor_share']:.0%}"],
        ]
    if figures["peak_memory_mb"] is not None:
        rows.append(["peak memory, MB", f"{figures['peak_memory_mb']:.0f}"])
    if fidelity is not None:
        rows += [
            ["error of a draw, after frames of float32", f"{fidelity.forced:.2%}"],
            ["error of draws, after own frames", f"{fidelity.free:.2%}"],
        ]
    if figures["heads_ms"] is not None:
        rows.append(["a draw of a head in plain float32, ms", ""])
        rows += [[f"  {name}", f"{ms:.3f}"] for name, ms in figures["heads_ms"].items()]
    weights = describe_weights(args.size)
    peers = "" if figures["peers"] is None else f"\n{table(describe_peers(figures['peers']))}"
    return (
        f"{args.size} size, {weights}, {dtype}, cfg {args.cfg:g}, draws {args.draws}, "
        f"batch {args.batch}; frames after {args.context} positions, "
        f"{args.rounds} rounds of {args.frames}, medians and quartiles\n{table(rows)}{peers}"
    )


def _profile_without_kernels(
    tts: TTS, args: argparse.Namespace, dtype: str
) -> dict[str, dict[str, float]]:
    """Profile what would be used if the kernels were not compiled; nothing if they are not used."""
    if not isinstance(tts.model, NativeModel):
        return {}
    model = make_model(args.size, tts.model.device, torch.float32)
    name = "in PyTorch"
    form: Callable[[SpeechLM], FrameModel] = FusedModel
    if dtype == "int8" and has_runtime():
        from sled.fast.onnx_model import OnnxModel  # imports onnxruntime

        name, form = "in ONNX Runtime", partial(OnnxModel, bits=8, threads=args.threads)
    settings = (args.batch, args.context, args.cfg, args.frames, args.draws)
    return {name: profile_frames(form(model), *settings)}


def _draw(
    args: argparse.Namespace,
    dtype: str,
    figures: Mapping[str, Any],
    others: Mapping[str, Mapping[str, float]],
) -> str:
    bars: dict[str, Mapping[str, float]] = {
        "a frame": figures["parts_ms"],
        **others,
        "the codec beside it": {"codec": figures["codec_ms_per_frame"]},
    }
    if figures["floor_ms"] is not None:
        bars["memory alone"] = {"reading weights and past": figures["floor_ms"]}
    how = f"{dtype}, cfg {args.cfg:g}, draws {args.draws}"
    title = f"Where a frame's time goes: {args.size} size, {how}"
    return stacked_bars(title, bars, "ms")


def _draw_threads(tts: TTS, args: argparse.Namespace, dtype: str) -> str:
    """When the threads of model and codec compute in a session."""
    busy: dict[str, list[tuple[float, float]]] = {"model": [], "codec": []}
    begin = time.perf_counter()

    def record(thread: str, seconds: float) -> None:
        now = time.perf_counter() - begin
        busy[thread].append((1e3 * (now - seconds), 1e3 * now))

    engine, frames = tts.engine, round(TIMELINE_S * tts.codec.frame_rate)
    engine.on_step = lambda _, seconds: record("model", seconds)
    engine.on_decoded = lambda seconds: record("codec", seconds)
    begin = time.perf_counter()
    tts.synthesize([_text(SPEECH_S)], options=endless(args.cfg, args.draws, max_frames=frames))
    engine.on_step = engine.on_decoded = None
    title = f"{TIMELINE_S:g} s of speech: {args.size} size, {dtype}, cfg {args.cfg:g}"
    return timeline(title, {f"{thread}'s thread": spans for thread, spans in busy.items()})
