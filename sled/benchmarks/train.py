"""Speed of training, relative to the peak of the hardware, and time of each phase."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from sled.benchmarks.backbones import BASELINE, OURS, compare_backbones
from sled.benchmarks.flags import check_at_least
from sled.benchmarks.report import Report, Spread, describe_machine, table
from sled.benchmarks.sizes import make_codec, make_config
from sled.benchmarks.steps import PHASES, Step, make_loader, train_steps
from sled.benchmarks.timing import time_in_turns
from sled.cli.device import choose_device
from sled.codec import Codec
from sled.model.lm import SpeechLM
from sled.training.callbacks.throughput import measure_matmul_rate


def measure(args: argparse.Namespace) -> Report:
    """Train as the flags say, and time the phases.

    Raises:
        ValueError: For flags that cannot be used.
    """
    device = torch.device(choose_device(args.device))
    on_gpu = device.type == "cuda"
    for flag, gpu, other in (("bf16", True, False), ("frames", 9000, 512), ("steps", 30, 5)):
        if getattr(args, flag) is None:
            setattr(args, flag, gpu if on_gpu else other)
    check_at_least(args, 1, "frames", "steps", "gradient_accumulation_steps")
    check_at_least(args, 0, "warmup_steps", "num_workers")

    codec = make_codec(args.size, device)
    dtype = torch.bfloat16 if args.bf16 else torch.float32
    before = measure_matmul_rate(device, dtype)
    steps, batch = _train(args, codec, device)
    # The better of two, since other work on the machine may have slowed one of them.
    peak = max(before, measure_matmul_rate(device, dtype))
    figures = {
        "matmul_flops": peak,
        "frames_per_second": Spread.of([step.frames / step.seconds for step in steps]),
        "peak_share": Spread.of([step.flops / step.seconds / peak for step in steps]),
        "step_s": Spread.of([step.seconds for step in steps]),
        "phases_s": {name: Spread.of([step.phases[name] for step in steps]) for name in PHASES},
        "max_memory_gib": torch.cuda.max_memory_allocated(device) / 2**30 if on_gpu else None,
        "encoding_s": _time_encoding(args, codec, batch),
        "backbones": _time_backbones(args, batch, device),
    }
    return Report("train", describe_machine(device), vars(args), figures, _describe(args, figures))


def _train(
    args: argparse.Namespace, codec: Codec, device: torch.device
) -> tuple[list[Step], dict[str, Any]]:
    """Return the timed steps, and a typical batch."""
    config = make_config(args.size)
    model = SpeechLM(config).to(device, torch.float32).train()
    if args.compile_layers:
        for layer in model.model.layers:
            layer.compile(dynamic=True)
    with TemporaryDirectory() as scratch:
        loader = make_loader(
            Path(scratch),
            codec,
            max_frames=args.frames,
            vocab_size=min(2000, config.architecture.vocab_size),
            num_workers=args.num_workers,
            pin_memory=device.type == "cuda",
        )
        batches = iter(loader)
        steps = train_steps(
            model,
            codec,
            batches,
            count=args.warmup_steps + args.steps,
            accumulation=args.gradient_accumulation_steps,
            bf16=args.bf16,
        )
        # The largest of a few: batches at the end of an epoch can be small.
        batch = max((next(batches) for _ in range(5)), key=lambda b: int(b["num_frames"].sum()))
    return steps[args.warmup_steps :], batch


def _time_encoding(args: argparse.Namespace, codec: Codec, batch: Mapping[str, Any]) -> Spread:
    """Return the seconds of encoding the audio of a step, which cached codes save."""
    waveforms = [
        0.1 * torch.randn(frames * codec.hop_length, device=codec.device)
        for frames in batch["num_frames"].tolist() * args.gradient_accumulation_steps
    ]
    encode = {"encode": lambda: codec.encode(waveforms)}
    return Spread.of(time_in_turns(encode, args.steps, codec.device)["encode"])


def _time_backbones(
    args: argparse.Namespace, batch: Mapping[str, Any], device: torch.device
) -> dict[str, Any]:
    """Return positions per second of our backbone and of the baseline."""
    lengths = (batch["attention_mask"].sum(1) + batch["num_frames"]).tolist()
    seconds = compare_backbones(
        make_config(args.size),
        lengths,
        rounds=args.steps,
        device=device,
        bf16=args.bf16,
        compile_layers=args.compile_layers,
    )
    speed = {
        name: Spread.of([sum(lengths) / s for s in measured]) for name, measured in seconds.items()
    }
    return {
        "positions_per_second": speed,
        "ratio": speed[OURS].over(speed[BASELINE]),
        "padding_share": 1 - sum(lengths) / (len(lengths) * max(lengths)),
        "num_samples": len(lengths),
    }


def _describe(args: argparse.Namespace, figures: Mapping[str, Any]) -> str:
    step_s, phases, backbones = figures["step_s"], figures["phases_s"], figures["backbones"]
    precision = "bfloat16" if args.bf16 else "float32"
    rows = [
        ["frames per second", f"{figures['frames_per_second']:.0f}", ""],
        [f"share of {precision} matrix products' speed", f"{figures['peak_share']:.1%}", ""],
        ["seconds of a step", f"{step_s:.4f}", ""],
        *_phase_rows(phases, step_s),
        ["seconds of encoding its audio, if not cached", f"{figures['encoding_s']:.4f}", ""],
        ["backbone alone, positions per second", "", ""],
    ]
    for name, speed in backbones["positions_per_second"].items():
        rows.append([f"  {name}", f"{speed:.0f}", ""])
    return (
        f"{args.size} size, random weights, cached codes, batches of up to {args.frames} frames, "
        f"{args.gradient_accumulation_steps} a step; medians and quartiles of {args.steps} steps\n"
        f"large matrix products reach {figures['matmul_flops'] / 1e12:.2f} TFLOP/s in {precision}\n"
        f"{table(rows)}\n"
        f"ours is {backbones['ratio']:.2f} times as fast, on a batch of "
        f"{backbones['num_samples']} samples, {backbones['padding_share']:.1%} of it padding"
    )


def _phase_rows(phases: Mapping[str, Spread], step_s: Spread) -> Sequence[list[str]]:
    return [
        [f"  {name}", f"{seconds:.4f}", f"{seconds.over(step_s):.1%}"]
        for name, seconds in phases.items()
    ]
