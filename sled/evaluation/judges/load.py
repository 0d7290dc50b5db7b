"""Loads the judges of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from sled.evaluation.items import Clip, Item
from sled.evaluation.judges import similarity
from sled.evaluation.judges.base import Judge
from sled.evaluation.judges.quality import dnsmos_judge, utmos_judge
from sled.evaluation.judges.seams import SeamJudge
from sled.evaluation.judges.timing import TimingJudge
from sled.evaluation.judges.words import load_word_judge


@dataclass(frozen=True)
class JudgeSettings:
    """Which judges hear a run.

    Attributes:
        words: The recogniser, see `load_word_judge`.
        numerals: Whether Whisper may write numerals.
        similarity: The speaker encoder, see `load_speaker_encoder`. None: voices are not compared.
        dnsmos: Whether DNSMOS rates.
        utmos: Folder of UTMOS, see `load_utmos`. None: it does not rate.
    """

    words: str = "base"
    numerals: bool = False
    similarity: str | None = None
    dnsmos: bool = False
    utmos: str | None = None

    def with_protocol(self, judges: Mapping[str, Any], given: Sequence[str]) -> JudgeSettings:
        """Take over what a protocol says, except for fields that were given.

        Raises:
            ValueError: If the protocol has other fields.
        """
        known = {one.name for one in fields(self)}
        if unknown := sorted(judges.keys() - known):
            raise ValueError(f"judges {', '.join(unknown)}: choose of {', '.join(sorted(known))}")
        return replace(self, **{name: judges[name] for name in judges if name not in given})


def load_judges(
    settings: JudgeSettings,
    items: Sequence[Item],
    device: str = "cpu",
    reconstruct: Callable[[Clip], tuple[np.ndarray, int]] | None = None,
) -> list[Judge]:
    """Load the judges; each hears all systems.

    Args:
        settings: Which ones.
        items: The test set.
        device: Where they compute, if they can choose.
        reconstruct: Encodes and decodes a recording, see `SimilarityJudge`.

    Raises:
        ValueError: If one cannot be loaded.
    """
    judges: list[Judge] = [
        load_word_judge(settings.words, settings.numerals, device),
        TimingJudge(),
        SeamJudge(),
    ]
    if settings.similarity is not None:
        encoder = similarity.load_speaker_encoder(settings.similarity, device)
        described = similarity.describe_encoder(settings.similarity)
        judges.append(similarity.SimilarityJudge(encoder, described, items, reconstruct))
    if settings.dnsmos:
        judges.append(dnsmos_judge())
    if settings.utmos is not None:
        judges.append(utmos_judge(settings.utmos))
    return judges
