"""Samples of the batches that `sled.data.tokens` makes, in the form that models learn from.

Shapes: L text tokens, T speech tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sled.model.layout import Layout
from sled.model.tokens.lm import TokenLM
from sled.model.tokens.samples import TokenSample
from sled.training.tokens.history import noisy_history

SPEAKER = "speaker"
TEXT, SPEECH, REJECTED, VECTOR = "text_token", "speech_token", "reject_speech_token", "embedding"
SPOKEN = "spoken_token"


class BatchLoader(Protocol):
    """Batches of this process as padded tensors, an epoch at a time; see `sled.data.tokens`."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the batches of the current epoch that are left."""
        ...

    def start_epoch(self, epoch: int) -> None:
        """Let the next iteration begin with an epoch."""
        ...

    def state_dict(self) -> dict[str, int]:
        """Return the `epoch` of the newest batch, and its `index` there."""
        ...

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Let the next iteration begin after that batch."""
        ...


class EpochCheckpoints(Protocol):
    """Writes checkpoints in a published form."""

    def save(
        self,
        model: nn.Module,
        *,
        epoch: int,
        step: int,
        is_whole: bool,
        learning_rate: float,
        losses: Mapping[str, float],
        states: Callable[[], Mapping[str, Any]],
    ) -> None:
        """Write a checkpoint; see `PublishedCheckpoints.save`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a run begins to count, if its weights are those of another one.

    Attributes:
        epoch: Number of its first epoch.
        step: Updates before its first one.
    """

    epoch: int = 0
    step: int = 0

    def require_epochs_left(self, max_epochs: int | None) -> None:
        """Check that a run that ends after `max_epochs` has something to do.

        Raises:
            ValueError: If it has not.
        """
        if max_epochs is not None and self.epoch >= max_epochs:
            raise ValueError(
                f"the weights are those of epoch {self.epoch - 1}, and the run ends before epoch "
                f"{max_epochs}: raise max_epoch"
            )


@dataclass(frozen=True, eq=False)
class LearningBatch:
    """Samples with the layouts in which they are learned.

    Attributes:
        samples: The samples.
        rejected: A worse speech for each of them, in the same layout. Empty: there is none.
        num_targets: Targets of `samples`.
    """

    samples: list[TokenSample]
    rejected: list[TokenSample] = field(default_factory=list)
    num_targets: int = 0

    @property
    def num_speech(self) -> int:
        """Speech tokens of `samples`."""
        return sum(len(sample.speech) for sample in self.samples)


def learning_batch(
    batch: Mapping[str, Any],
    model: TokenLM,
    streaming_share: float,
    *,
    history_noise: float = 0.0,
    training_cfg: float = 0.0,
) -> LearningBatch:
    """Take samples from a batch of padded tensors, and draw their layouts.

    A chosen and a rejected speech get one draw, so that they are compared in the same layout.

    Args:
        batch: As `sled.data.tokens` makes it.
        model: The model that learns.
        streaming_share: Probability that a sample is learned in the streaming layout.
        history_noise: See `noisy_history`, for the chosen speech.
        training_cfg: Probability that a sample is learned without its text, for guidance.

    Raises:
        ValueError: If a sample does not fit the model; the error names it.
    """
    names = batch.get("utts") or [f"sample {row}" for row in range(len(batch[TEXT]))]
    if SPEECH not in batch:
        raise ValueError(
            f"{names[0]} has no speech tokens: extract them before the corpus is packed"
        )
    samples, rejected, num_targets = [], [], 0
    for row, name in enumerate(names):
        text, speech = (_unpad(batch, key, row) for key in (TEXT, SPEECH))
        pair = [speech] if REJECTED not in batch else [speech, _unpad(batch, REJECTED, row)]
        _check(name, model, text, pair)
        spoken = _unpad(batch, SPOKEN, row) if SPOKEN in batch else None
        streaming = bool(torch.rand(()) < streaming_share)
        if training_cfg and torch.rand(()) < training_cfg:
            text, spoken, streaming = text[:0], None, False
        layouts = {model.training_layout(len(text), len(one), streaming) for one in pair}
        layout = layouts.pop() if len(layouts) == 1 else Layout()
        conditions = _conditions(batch, row, name, model)
        # What is said when is known of the chosen reading only.
        history = None
        if history_noise:
            history = noisy_history(speech, history_noise, model.ids.speech)
        both = [
            TokenSample(text, one, layout, conditions, said, read)
            for one, said, read in zip(pair, (spoken, None), (history, None), strict=False)
        ]
        samples.append(both[0])
        rejected += both[1:]
        num_targets += count_targets(both[0], model)
    return LearningBatch(samples, rejected, num_targets)


def count_targets(sample: TokenSample, model: TokenLM) -> int:
    """Return the number of ids that a model learns of a sample."""
    fills = 0
    if model.ids.fill is not None:
        arranged = sample.layout.arrange([len(sample.text) + 1], [len(sample.speech)])
        fills = len(arranged.chunk_ends)
    return len(sample.speech) + 1 + fills


def _unpad(batch: Mapping[str, Any], key: str, row: int) -> Tensor:
    tokens: Tensor = batch[key][row, : int(batch[f"{key}_len"][row])]
    return tokens


def _check(name: str, model: TokenLM, text: Tensor, speeches: list[Tensor]) -> None:
    sizes = model.config.architecture
    for what, tokens, size in (
        ("text", text, sizes.vocab_size),
        *(("speech", one, model.ids.speech) for one in speeches),
    ):
        if what == "speech" and not len(tokens):
            raise ValueError(f"{name} has no speech tokens: leave it out, or extract them again")
        if len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < size:
            raise ValueError(
                f"{name} has the {what} token {int(tokens.max())}, the model has {size}: use the "
                f"{what} tokenizer that belongs to the model"
            )
    longest = len(text) + max(map(len, speeches)) + 3  # start, speaker, the token before speech
    if longest > sizes.max_position_embeddings:
        raise ValueError(
            f"{name} takes {longest} positions, the model has {sizes.max_position_embeddings}: "
            "leave it out, or lower max_length"
        )


def _conditions(batch: Mapping[str, Any], row: int, name: str, model: TokenLM) -> dict[str, Tensor]:
    if not model.takes_speaker or VECTOR not in batch:
        return {}
    vector: Tensor = batch[VECTOR][row]
    width = model.get_parameter("spk_embed_affine_layer.weight").shape[1]
    if len(vector) != width:
        raise ValueError(
            f"{name} has a speaker vector of {len(vector)} numbers, the model takes {width}: "
            "extract them with the encoder that belongs to the model"
        )
    return {SPEAKER: vector}
