"""Speed of training of a language model of speech tokens, relative to the peak of the hardware."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from sled.benchmarks.corpus import draw_durations, make_cuts
from sled.benchmarks.flags import check_at_least
from sled.benchmarks.report import Report, Spread, describe_machine, table
from sled.cli.device import choose_device
from sled.data.tokens.options import COSYVOICE2
from sled.data.tokens.pack import write_parquet
from sled.data.tokens.pipeline import TokenBatches, TokenLoader
from sled.data.tokens.tables import write_table
from sled.files.audio import write_audio
from sled.model.tokens.cosyvoice2 import CosyVoice2LM, CosyVoice2Sizes
from sled.text.published_tokenizers import OwnTokenizer
from sled.text.tokenizer import TextTokenizer
from sled.training.callbacks.throughput import measure_matmul_rate, synchronize
from sled.training.tokens.samples import learning_batch
from sled.training.tokens.throughput import training_flops

PHASES = ("loader", "forward", "backward", "update")
MEL_RATE_HZ = 50
LONGEST_S = 20.0
UTTERANCES = 300
TEXT_TOKENS = 2000
STREAMING_SHARE = 0.5


@dataclass
class TimedSteps:
    """What was measured in steps of training, a number for each.

    Attributes:
        phases: Seconds of each phase.
        speech: Speech tokens.
        flops: Arithmetic operations.
        samples: Samples.
    """

    phases: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in PHASES})
    speech: list[int] = field(default_factory=list)
    flops: list[float] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)


def measure_tokens(args: argparse.Namespace) -> Report:
    """Train CosyVoice2's language model on noise, from Parquet, and time the phases of steps.

    Raises:
        ValueError: For flags that cannot be used.
    """
    device = torch.device(choose_device(args.device))
    on_gpu = device.type == "cuda"
    for flag, gpu, other in (("bf16", True, False), ("frames", 9000, 512), ("steps", 30, 5)):
        if getattr(args, flag) is None:
            setattr(args, flag, gpu if on_gpu else other)
    check_at_least(args, 1, "frames", "steps")
    check_at_least(args, 0, "warmup_steps", "num_workers")
    sizes = CosyVoice2Sizes()
    if args.size == "debug":
        small: dict[str, Any] = {"hidden_size": 112, "intermediate_size": 256}
        small["num_hidden_layers"] = 2
        sizes = replace(sizes, **small, vocab_size=TEXT_TOKENS)
    elif args.size != "published":
        raise ValueError(f"--size {args.size}: choose published or debug for --family cosyvoice2")
    torch.manual_seed(0)
    model = CosyVoice2LM(sizes).to(device).train()
    model.initialize()
    dtype = torch.bfloat16 if args.bf16 else torch.float32
    before = measure_matmul_rate(device, dtype)
    with TemporaryDirectory() as scratch:
        batches = iter(_loader(args, Path(scratch)))
        steps = _time_steps(args, model, batches, device)
        del batches  # ends its workers
    # The better of two, since other work on the machine may have slowed one of them.
    peak = max(before, measure_matmul_rate(device, dtype))
    step_s = [sum(times) for times in zip(*steps.phases.values(), strict=True)]
    figures: dict[str, Any] = {
        "parameters": model.parameter_count,
        "samples": float(np.mean(steps.samples)),
        "matmul_flops": peak,
        "tokens_per_second": Spread.of([n / s for n, s in zip(steps.speech, step_s, strict=True)]),
        "peak_share": Spread.of([n / s / peak for n, s in zip(steps.flops, step_s, strict=True)]),
        "loader_share": sum(steps.phases["loader"]) / sum(step_s),
        "step_s": Spread.of(step_s),
        "phases_s": {name: Spread.of(times) for name, times in steps.phases.items()},
        "max_memory_gib": torch.cuda.max_memory_allocated(device) / 2**30 if on_gpu else None,
    }
    text = _describe(args, figures)
    return Report("train", describe_machine(device), vars(args), figures, text)


def _loader(args: argparse.Namespace, folder: Path) -> TokenLoader:
    """Batches of a corpus of noise, as training reads them."""
    longest_s = min(LONGEST_S, args.frames / MEL_RATE_HZ)
    cuts = list(make_cuts(draw_durations(UTTERANCES, longest_s)))
    texts = [cut.supervisions[0].text for cut in cuts]
    draws, rate = np.random.default_rng(0), COSYVOICE2.mel.sample_rate
    lines: dict[str, list[str]] = {"wav.scp": [], "text": [], "utt2spk": []}
    for cut, text in zip(cuts, texts, strict=True):
        path = folder / f"{cut.id}.wav"
        write_audio(path, draws.normal(0, 0.01, round(cut.duration * rate)), rate)
        for name, value in zip(lines, (path, text, "noise"), strict=True):
            lines[name].append(f"{cut.id} {value}\n")
    for name, content in lines.items():
        (folder / name).write_text("".join(content))
    token_rate, high = COSYVOICE2.token_rate, COSYVOICE2.speech_token_size
    assert token_rate is not None and high is not None
    tokens = {cut.id: draws.integers(high, size=round(cut.duration * token_rate)) for cut in cuts}
    write_table(folder / "utt2speech_token.pt", tokens)
    files = write_parquet(folder, folder / "parquet", num_utts=100).files
    tokenizer = OwnTokenizer(TextTokenizer.train(texts, TEXT_TOKENS))
    options = replace(COSYVOICE2, with_audio=False, max_frames_in_batch=args.frames, min_length=0)
    batches = TokenBatches(files, tokenizer.ids, options, endless=True)
    return TokenLoader(batches, num_workers=args.num_workers)


def _time_steps(
    args: argparse.Namespace,
    model: CosyVoice2LM,
    batches: Iterator[dict[str, Any]],
    device: torch.device,
) -> TimedSteps:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    steps = TimedSteps()
    for number in range(args.warmup_steps + args.steps):
        times: list[float] = []

        def lap(started: float, times: list[float] = times) -> float:
            synchronize(device)
            times.append(time.perf_counter() - started)
            return time.perf_counter()

        now = time.perf_counter()
        samples = learning_batch(next(batches), model, STREAMING_SHARE).samples
        now = lap(now)
        with torch.autocast(device.type, torch.bfloat16, enabled=args.bf16):
            output = model(samples)
        now = lap(now)
        output.loss.backward()
        now = lap(now)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()
        lap(now)
        if number >= args.warmup_steps:
            for name, seconds in zip(PHASES, times, strict=True):
                steps.phases[name].append(seconds)
            steps.speech.append(sum(len(one.speech) for one in samples))
            steps.flops.append(training_flops(model, sum(output.lengths), output.lengths))
            steps.samples.append(len(samples))
    return steps


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
        f"weights, Parquet of noise, {figures['samples']:.1f} samples in {args.frames} mel frames "
        f"a step; medians and quartiles of {args.steps} steps\n"
        f"large matrix products reach {figures['matmul_flops'] / 1e12:.2f} TFLOP/s in {precision}\n"
        f"{table(rows)}"
    )
