"""Rewards of speech: a number that is the higher, the better a judge finds an utterance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sled.evaluation.items import Item
from sled.evaluation.judges import Heard, Judge
from sled.evaluation.judges.quality import dnsmos_judge
from sled.evaluation.judges.similarity import (
    SimilarityJudge,
    describe_encoder,
    load_speaker_encoder,
)
from sled.evaluation.judges.spelling import SpellingJudge
from sled.evaluation.judges.words import load_word_judge
from sled.evaluation.wordings import choose_wording
from sled.evaluation.words import align_text


@dataclass(frozen=True)
class Reward:
    """A judge, and what its figures are worth.

    Attributes:
        judge: The judge.
        value: Returns the reward of an item's figures.
    """

    judge: Judge
    value: Callable[[Item, dict[str, Any]], float]

    @property
    def version(self) -> str:
        """What the rewards depend on."""
        return f"{self.judge.name}: {self.judge.version}"

    def of(self, heard: Sequence[Heard]) -> list[float]:
        """The rewards of some utterances."""
        figures = self.judge.judge(heard)
        return [self.value(one.item, each) for one, each in zip(heard, figures, strict=True)]


def _spelling(model: str, items: Sequence[Item], device: str) -> Reward:
    """Minus the CTC loss of the text in nats per symbol, by a network of `sled align`."""
    judge = SpellingJudge(Path(model), device)
    return Reward(judge, lambda item, figures: -float(figures["spelling"]))


def _words(model: str, items: Sequence[Item], device: str) -> Reward:
    """Minus the share of wrong words, by a recogniser."""
    wording = choose_wording("auto", [item.text for item in items])

    def value(item: Item, figures: dict[str, Any]) -> float:
        aligned = align_text(item.references, figures["heard"], wording)
        return -aligned.errors / max(1, aligned.words)

    return Reward(load_word_judge(model, device=device), value)


def _similarity(model: str, items: Sequence[Item], device: str) -> Reward:
    """Similarity to the voice of the speaker's other recordings, by a speaker encoder."""
    if any(item.recording is None for item in items):
        raise ValueError("similarity needs recordings to compare with: name a cut manifest")
    encoder = load_speaker_encoder(model, device)
    judge = SimilarityJudge(encoder, describe_encoder(model), items)
    return Reward(judge, lambda item, figures: float(figures["similarity"]))


def _quality(model: str, items: Sequence[Item], device: str) -> Reward:
    """DNSMOS, from 1 to 5."""
    return Reward(dnsmos_judge(), lambda item, figures: float(figures["dnsmos"]))


REWARDS: dict[str, Callable[[str, Sequence[Item], str], Reward]] = {
    "spelling": _spelling,
    "words": _words,
    "similarity": _similarity,
    "dnsmos": _quality,
}
"""Loaders of rewards by name; they take the judge's model, the items and a device."""


def load_reward(name: str, model: str, items: Sequence[Item], device: str = "cpu") -> Reward:
    """Load a reward.

    Args:
        name: One of `REWARDS`.
        model: Model of the judge: the file of an aligner, a recogniser, a speaker encoder; unused
            for DNSMOS.
        items: All items that will be heard.
        device: Where the judge computes.

    Raises:
        ValueError: If the judge cannot be loaded, or the items lack what it needs.
    """
    return REWARDS[name](model, items, device)
