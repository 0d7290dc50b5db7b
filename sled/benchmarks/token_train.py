"""Speed of training of a language model of speech tokens, relative to the peak of the hardware."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sled.benchmarks.flags import check_at_least
from sled.benchmarks.report import Report, Spread, describe_machine, table
from sled.cli.device import choose_device
from sled.model.tokens.cosyvoice2 import CosyVoice2LM, CosyVoice2Sizes
from sled.model.tokens.lm import TokenSample
from sled.training.callbacks.throughput import measure_matmul_rate, synchronize
from sled.training.tokens.throughput import training_flops

# A sample: 5 s of speech, and its text.
TEXT, SPEECH = 30, 125
MEL_FRAMES_PER_TOKEN = 2
PHASES = ("forward", "backward", "update")


def measure_tokens(args: argparse.Namespace) -> Report:
    """Train CosyVoice2's language model with random weights, and time the phases of steps.

    Raises:
        ValueError: For flags that cannot be used.
    """
    device = torch.device(choose_device(args.device))
    on_gpu = device.type == "cuda"
    for flag, gpu, other in (("bf16", True, False), ("frames", 9000, 512), ("steps", 30, 5)):
        if getattr(args, flag) is None:
            setattr(args, flag, gpu if on_gpu else other)
    check_at_least(args, 1, "frames", "steps")
    check_at_least(args, 0, "warmup_steps")
    sizes = CosyVoice2Sizes()
    if args.size == "debug":
        small: dict[str, Any] = {"hidden_size": 112, "intermediate_size": 256}
        small["num_hidden_layers"] = 2
        sizes = replace(sizes, **small, vocab_size=1000)
    elif args.size != "published":
        raise ValueError(f"--size {args.size}: choose published or debug for --family cosyvoice2")
    torch.manual_seed(0)
    model = CosyVoice2LM(sizes).to(device).train()
    model.initialize()
    dtype = torch.bfloat16 if args.bf16 else torch.float32
    before = measure_matmul_rate(device, dtype)
    phases, samples = _time_steps(args, model, device)
    # The better of two, since other work on the machine may have slowed one of them.
    peak = max(before, measure_matmul_rate(device, dtype))
    step_s = [sum(times) for times in zip(*phases.values(), strict=True)]
    lengths = [TEXT + SPEECH + 2] * samples
    flops = training_flops(model, sum(lengths), lengths)
    figures: dict[str, Any] = {
        "parameters": model.parameter_count,
        "samples": samples,
        "matmul_flops": peak,
        "tokens_per_second": Spread.of([samples * SPEECH / s for s in step_s]),
        "peak_share": Spread.of([flops / s / peak for s in step_s]),
        "step_s": Spread.of(step_s),
        "phases_s": {name: Spread.of(times) for name, times in phases.items()},
        "max_memory_gib": torch.cuda.max_memory_allocated(device) / 2**30 if on_gpu else None,
    }
    text = _describe(args, figures)
    return Report("train", describe_machine(device), vars(args), figures, text)


def _time_steps(
    args: argparse.Namespace, model: CosyVoice2LM, device: torch.device
) -> tuple[dict[str, list[float]], int]:
    """Return the seconds of each phase of each timed step, and the samples of a step."""
    count = max(1, args.frames // (MEL_FRAMES_PER_TOKEN * SPEECH))
    generator = torch.Generator().manual_seed(0)

    def ids(size: int, high: int) -> Tensor:
        return torch.randint(high, (size,), generator=generator)

    samples = [
        TokenSample(ids(TEXT, model.sizes.vocab_size), ids(SPEECH, model.ids.speech))
        for _ in range(count)
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    phases: dict[str, list[float]] = {name: [] for name in PHASES}
    for step in range(args.warmup_steps + args.steps):
        times: list[float] = []

        def lap(started: float, times: list[float] = times) -> float:
            synchronize(device)
            times.append(time.perf_counter() - started)
            return time.perf_counter()

        now = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=args.bf16):
            loss = model(samples).loss
        now = lap(now)
        loss.backward()
        now = lap(now)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()
        lap(now)
        if step >= args.warmup_steps:
            for name, seconds in zip(PHASES, times, strict=True):
                phases[name].append(seconds)
    return phases, count


def _describe(args: argparse.Namespace, figures: dict[str, Any]) -> str:
    precision = "bfloat16" if args.bf16 else "float32"
    step_s = figures["step_s"]
    rows = [
        ["speech tokens per second", f"{figures['tokens_per_second']:.0f}", ""],
        [f"share of {precision} matrix products' speed", f"{figures['peak_share']:.1%}", ""],
        ["seconds of a step", f"{step_s:.3f}", ""],
        *(
            [f"  {name}", f"{seconds:.3f}", f"{seconds.over(step_s):.1%}"]
            for name, seconds in figures["phases_s"].items()
        ),
    ]
    return (
        f"CosyVoice2's language model, {figures['parameters'] / 1e6:.0f} M parameters, random "
        f"weights, {figures['samples']} samples of {TEXT} text and {SPEECH} speech tokens a step; "
        f"medians and quartiles of {args.steps} steps\n"
        f"large matrix products reach {figures['matmul_flops'] / 1e12:.2f} TFLOP/s in {precision}\n"
        f"{table(rows)}"
    )
