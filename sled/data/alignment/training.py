"""Training the network of the aligner on a part of the corpus that fits in memory."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sled.data.alignment.features import batches_by_length, pad
from sled.data.alignment.network import CtcNetwork
from sled.data.alignment.spelling import BLANK
from sled.files.progress import Progress

# Frames per batch: 80 s of speech.
_BATCH_FRAMES = 3200
_PEAK_LEARNING_RATE = 2e-3
_WARMUP_STEPS = 100
_DECAY_SHARE = 0.4
# Noise on the normalised features, against overfitting.
_NOISE = 0.2
_MIN_SCALE = 1e-2


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How the network is trained.

    Attributes:
        max_steps: Training steps, each with about 80 s of speech.
        train_hours: Hours of speech, drawn at random, that are trained on and kept in memory.
        seed: Seed of the selection of cuts, the initial weights and the order.
    """

    max_steps: int = 1500
    train_hours: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_steps < 1:
            raise ValueError(f"max_steps={self.max_steps}: use at least 1")
        if not self.train_hours > 0:
            raise ValueError(f"train_hours={self.train_hours}: use more than 0")


@dataclass(frozen=True)
class Example:
    """A training clip.

    Attributes:
        features: [T, F], float16.
        symbols: Symbols of its text.
    """

    features: Tensor
    symbols: list[int]


def train_network(
    examples: Sequence[Example], num_symbols: int, options: TrainingOptions, device: str
) -> CtcNetwork:
    """Train a network to spell speech.

    Args:
        examples: Training clips. Those too short for their text have no effect.
        num_symbols: Number of symbols, including the blank.
        options: Length and seed of the training.
        device: Device of the network.

    Returns:
        The network in evaluation mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = CtcNetwork(num_symbols, *_mean_and_scale(examples)).to(device)
    optimizer = torch.optim.AdamW(
        network.parameters(), _PEAK_LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _rate(step, options.max_steps)
    )
    noise = torch.Generator().manual_seed(options.seed)
    batches = _endless_batches(examples, random.Random(options.seed))
    network.train()
    with Progress("train aligner", options.max_steps, "step") as progress:
        for _ in range(options.max_steps):
            loss = _loss(network, next(batches), noise, device)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            progress.advance(note=f"loss {loss.item():.3f} per letter")
    return network.eval()


def _rate(step: int, max_steps: int) -> float:
    """Learning rate as a share of its peak: warm-up, constant, linear decay."""
    warmup = min(_WARMUP_STEPS, max_steps // 4 + 1)
    return min(1.0, (step + 1) / warmup, (max_steps - step) / (_DECAY_SHARE * max_steps))


def _mean_and_scale(examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [F] over all frames, without a float64 copy of all frames."""
    num_frames = sum(len(example.features) for example in examples)
    total = torch.stack([example.features.double().sum(0) for example in examples]).sum(0)
    mean = total / num_frames
    squares = [(example.features - mean).square().sum(0) for example in examples]
    scale = (torch.stack(squares).sum(0) / num_frames).sqrt().clamp_min(_MIN_SCALE)
    return mean.float(), scale.float()


def _endless_batches(examples: Sequence[Example], order: random.Random) -> Iterator[list[Example]]:
    batches = list(batches_by_length([len(one.features) for one in examples], _BATCH_FRAMES))
    while True:
        order.shuffle(batches)
        for batch in batches:
            yield [examples[index] for index in batch]


def _loss(
    network: CtcNetwork, batch: Sequence[Example], noise: torch.Generator, device: str
) -> Tensor:
    """CTC loss in nats per symbol."""
    features, lengths = pad([example.features for example in batch], device)
    normalized = network.normalize(features)
    normalized = normalized + _NOISE * torch.randn(features.shape, generator=noise).to(device)
    symbols = [torch.tensor(example.symbols) for example in batch]
    num_symbols = torch.tensor([len(one) for one in symbols])
    # On the CPU: other devices lack the CTC loss, or compute its gradient nondeterministically.
    log_probs = network(normalized, lengths).transpose(0, 1).cpu()
    losses = F.ctc_loss(
        log_probs,
        torch.cat(symbols),
        lengths,
        num_symbols,
        blank=BLANK,
        reduction="sum",
        zero_infinity=True,
    )
    return losses / num_symbols.sum()
