"""What a language model of speech tokens learns from, and what it computes of that.

Shapes: L text tokens, T speech tokens; P positions of a sequence or of a batch, E width of inputs,
H hidden width, S scored ids; A heads, d head width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sled.model.guided_attention import guided_attention_loss
from sled.model.layout import Layout
from sled.model.tokens.losses import NO_TARGET, accuracy, label_smoothed_loss


@dataclass(frozen=True, eq=False)
class TokenSample:
    """A text and its speech.

    Attributes:
        text: int64 [L], without the token that begins speech.
        speech: int64 [T], at least one.
        layout: How they are interleaved.
        conditions: Vectors [width] by name, such as a speaker embedding.
        spoken: int64 [T] position in the text of the token that is said in each speech token; L
            behind the last one, -1 where it is not known. None: unknown.
        history: int64 [T] what the model reads instead of `speech`, which it learns. None: the
            same.
    """

    text: Tensor
    speech: Tensor
    layout: Layout = Layout()
    conditions: Mapping[str, Tensor] = field(default_factory=dict)
    spoken: Tensor | None = None
    history: Tensor | None = None


@dataclass(frozen=True, eq=False)
class TokenOutput:
    """What a model computes of a batch in training.

    Attributes:
        loss: Scalar, the mean over all targets.
        accuracy: Share of targets with the highest score.
        inputs: [P, E] inputs, sample by sample.
        hidden: [P, H] hidden states.
        log_p: [P, S] log-probabilities of ids.
        targets: int64 [P], `NO_TARGET` where nothing is predicted.
        lengths: Numbers of positions of the samples, P in all.
        alignment_loss: Loss of guided attention, the mean over all speech tokens. None: no layer is
            guided.
    """

    loss: Tensor
    accuracy: Tensor
    inputs: Tensor
    hidden: Tensor
    log_p: Tensor
    targets: Tensor
    lengths: list[int]
    alignment_loss: Tensor | None = None

    def log_likelihoods(self) -> Tensor:
        """Return the mean log-probability of each sample's targets."""
        log_p = self.log_p.gather(-1, self.targets.clamp(0)[:, None])[:, 0]
        real = self.targets != NO_TARGET
        parts = zip(self.rows(log_p * real), self.rows(real), strict=True)
        return torch.stack([one.sum() / count.sum() for one, count in parts])

    def first(self, count: int) -> TokenOutput:
        """Return what was computed of the first samples, with their own loss."""
        end = sum(self.lengths[:count])
        log_p, targets = self.log_p[:end], self.targets[:end]
        return TokenOutput(
            label_smoothed_loss(log_p[None], targets[None]),
            accuracy(log_p, targets),
            self.inputs[:end],
            self.hidden[:end],
            log_p,
            targets,
            self.lengths[:count],
        )

    def rows(self, x: Tensor) -> Sequence[Tensor]:
        """Divide values [P, ...] of all positions into those of each sample."""
        return torch.split(x, self.lengths)


def alignment_loss(sample: TokenSample, query: Tensor, key: Tensor) -> Tensor:
    """Sum `guided_attention_loss` over the speech tokens of a sample.

    Args:
        sample: The sample.
        query: [P, A, d] rotated queries of the guided layer.
        key: [P, A, d] its rotated keys.

    Returns:
        A scalar; 0 if it is not known what is said when.
    """
    if sample.spoken is None:
        return query.new_zeros((), dtype=torch.float32)
    num_text, num_speech = len(sample.text) + 1, len(sample.speech)  # with what begins speech
    num_before = len(query) - num_text - num_speech
    arranged = sample.layout.arrange([num_text], [num_speech], num_before).to(query.device)
    index = sample.spoken[None].to(query.device)
    tokens, frames = (
        torch.ones(1, count, dtype=torch.long, device=query.device)
        for count in (num_text, num_speech)
    )
    mean = guided_attention_loss(index, query, key, arranged, tokens, frames, first=0)
    return mean * num_speech
