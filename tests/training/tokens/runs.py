"""Runs of tiny token models on batches that lie in memory."""

import random
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from sled.model.tokens.lm import TokenLM
from sled.training.checkpoints.integrity import find_last
from sled.training.tokens.arguments import TokenTrainingArguments
from sled.training.tokens.trainer import TokenTrainer


def make_batch(
    seed: int,
    size: int = 2,
    *,
    speech: int = 24,
    width: int = 6,
    rejected: bool = False,
    spoken: bool = False,
) -> dict[str, Any]:
    """A batch as the data pipeline makes it."""
    generator = torch.Generator().manual_seed(seed)

    def ids(low: int, high: int, size: int) -> torch.Tensor:
        return torch.randint(low, high, (size,), generator=generator)

    batch: dict[str, Any] = {"utts": [f"utt{seed}_{row}" for row in range(size)]}
    vectors = torch.randn(size, width, generator=generator)
    batch["embedding"] = torch.nn.functional.normalize(vectors, dim=1)
    lengths = [(3 + (seed + row) % 5, 8 + (2 * seed + 3 * row) % 11) for row in range(size)]
    columns = {
        "text_token": [ids(4, 300, text) for text, _ in lengths],
        "speech_token": [ids(0, speech, count) for _, count in lengths],
    }
    if rejected:
        columns["reject_speech_token"] = [ids(0, speech, count + 1) for _, count in lengths]
    if spoken:  # the text, evenly
        columns["spoken_token"] = [
            torch.arange(count) * (text + 1) // count for text, count in lengths
        ]
    for name, rows in columns.items():
        batch[name] = pad_sequence(rows, batch_first=True)
        batch[f"{name}_len"] = torch.tensor([len(row) for row in rows], dtype=torch.int32)
    return batch


class MemoryLoader:
    """Epochs over batches in memory, in an order that depends on the epoch."""

    def __init__(self, batches: list[dict[str, Any]], rank: int = 0, world_size: int = 1) -> None:
        self.batches, self.rank, self.world_size = batches, rank, world_size
        self.epoch, self.index = 0, -1

    def __iter__(self) -> Iterator[dict[str, Any]]:
        order = list(range(len(self.batches)))
        random.Random(self.epoch).shuffle(order)
        for number in order[self.rank :: self.world_size][self.index + 1 :]:
            self.index += 1
            yield self.batches[number]

    def start_epoch(self, epoch: int) -> None:
        self.epoch, self.index = epoch, -1

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "index": self.index}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self.epoch, self.index = state["epoch"], state["index"]


def make_trainer(
    model: TokenLM,
    output: Path,
    batches: list[dict[str, Any]],
    parts: Mapping[str, Any] | None = None,
    **changes: Any,
) -> TokenTrainer:
    """A trainer of a copy of a model; unless changed, of six steps on a CPU."""
    settings: dict[str, Any] = {
        "output_dir": str(output),
        "max_steps": 6,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
    }
    args = TokenTrainingArguments(**(settings | changes))
    return TokenTrainer(
        model=deepcopy(model),
        args=args,
        train_loader=MemoryLoader(batches, args.process_index, args.world_size),
        flags={},
        **(parts or {}),
    )


def run(*args: Any, **changes: Any) -> TokenTrainer:
    """Train, from the last checkpoint if there is one."""
    trainer = make_trainer(*args, **changes)
    torch.manual_seed(3)
    trainer.run(find_last(trainer.output_dir))
    return trainer


def logged(trainer: TokenTrainer, key: str) -> list[float]:
    """The logged values of a quantity."""
    return [entry[key] for entry in trainer.state.log_history if key in entry]
