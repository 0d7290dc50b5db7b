"""Training steps as the trainer takes them, on synthetic data, with the time of each phase."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch.utils.data import DataLoader

from sled.benchmarks.corpus import LONGEST_S, draw_durations, write_cached_corpus
from sled.benchmarks.timing import PhaseClock
from sled.codec import Codec
from sled.data.cache.codes import load_cached
from sled.data.dataset import SpeechDataset, collate, length_mask
from sled.data.sampling import SpeechBatches, TrainingBatches
from sled.model.lm import SpeechLM
from sled.text.tokenizer import TextTokenizer
from sled.training.callbacks.throughput import training_flops
from sled.training.units import speech_units

PHASES = ("data wait", "codec", "forward", "backward", "optimiser")
# Enough to fill the buckets, as a large corpus does.
NUM_CUTS = 500
MAX_GRAD_NORM = 1.0


def make_loader(
    folder: Path,
    codec: Codec,
    *,
    max_frames: int,
    vocab_size: int,
    num_workers: int,
    pin_memory: bool = False,
) -> DataLoader[Any]:
    """Return a loader of batches of cached codes, without an end.

    Args:
        folder: Folder for the corpus.
        codec: The codec of the codes.
        max_frames: Padded frames of a batch; cuts are short enough for two in each.
        vocab_size: Largest size of the tokenizer.
        num_workers: Number of processes that load.
        pin_memory: As for `DataLoader`.
    """
    max_duration_s = max_frames / codec.frame_rate
    durations = draw_durations(NUM_CUTS, longest_s=min(LONGEST_S, max_duration_s / 2))
    cached = write_cached_corpus(folder, durations)
    texts = (cut.supervisions[0].text for cut in load_cached(cached))
    tokenizer = TextTokenizer.train(texts, vocab_size)
    batches = SpeechBatches(lambda epoch: load_cached(cached), max_duration_s=max_duration_s)
    return DataLoader(
        SpeechDataset(tokenizer, codec),
        batch_sampler=TrainingBatches(batches),
        collate_fn=collate,
        num_workers=num_workers,
        pin_memory=pin_memory,
    )


@dataclass(frozen=True)
class Step:
    """An optimiser step.

    Attributes:
        seconds: Duration.
        phases: Seconds of each of `PHASES`.
        frames: Frames of its batches.
        flops: Floating-point operations.
    """

    seconds: float
    phases: dict[str, float]
    frames: int
    flops: float


def train_steps(
    model: SpeechLM,
    codec: Codec,
    batches: Iterator[dict[str, Any]],
    *,
    count: int,
    accumulation: int = 1,
    bf16: bool = False,
) -> list[Step]:
    """Take training steps, and time their phases.

    Args:
        model: In training mode, in float32, on its device.
        codec: On the same device.
        batches: From `make_loader`.
        count: Number of steps.
        accumulation: Batches per step.
        bf16: Compute losses under autocast to bfloat16.
    """
    device = model.device
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    clock = PhaseClock(device)
    steps = []
    for _ in range(count):
        frames, flops = 0, 0.0
        for _ in range(accumulation):
            with clock.phase("data wait", on_host=True):
                batch = send_to_device(next(batches), device)
            with clock.phase("codec"):
                latents = speech_units(codec, batch["speech"])
            with (
                clock.phase("forward"),
                torch.autocast(device.type, torch.bfloat16, enabled=bf16),
            ):
                output = model(
                    input_ids=batch["input_ids"],
                    attention_mask=batch["attention_mask"],
                    units=latents,
                    frame_mask=length_mask(batch["num_frames"]),
                )
            with clock.phase("backward"):
                output.loss.backward()
            frames += output.num_frames
            flops += training_flops(model, output.lengths, output.num_frames)
        with clock.phase("optimiser"):
            torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
            optimizer.step()
            optimizer.zero_grad()
        steps.append(Step(*clock.finish_step(), frames, flops))
    return steps
