"""How much of the batches is padding, under each way to make batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lhotse import CutSet
from lhotse.cut import Cut

from sled.data.sampling import SpeechBatches


def batching_policies(
    batch_size: int, max_duration_s: float, quadratic_duration_s: float
) -> dict[str, dict[str, Any]]:
    """Arguments of `SpeechBatches` for each way to make batches; the first is the baseline."""
    by_duration = {"max_duration_s": max_duration_s}
    penalised = {**by_duration, "quadratic_duration_s": quadratic_duration_s}
    return {
        f"{batch_size} cuts as they come": {"max_cuts": batch_size, "by_length": False},
        f"{batch_size} cuts of like length": {"max_cuts": batch_size},
        f"{max_duration_s:g} s of like length": by_duration,
        f"{max_duration_s:g} s, long cuts penalised": penalised,
    }


def padding_share(cuts: Sequence[Cut], positions: Sequence[int], policy: dict[str, Any]) -> float:
    """Share of the positions of right-padded batches that is padding, over an epoch.

    Args:
        cuts: A corpus, of which only the durations count.
        positions: Of each cut: its text tokens and frames.
        policy: Arguments of `SpeechBatches`.
    """
    length = {cut.id: count for cut, count in zip(cuts, positions, strict=True)}
    held = padded = 0
    for batch in SpeechBatches(lambda epoch: CutSet.from_cuts(cuts), **policy).epoch(0):
        lengths = [length[cut.id] for cut in batch]
        held += sum(lengths)
        padded += len(lengths) * max(lengths)
    return 1 - held / padded


def padding_shares(
    cuts: Sequence[Cut], positions: Sequence[int], policies: Mapping[str, dict[str, Any]]
) -> dict[str, float]:
    """`padding_share` of each policy."""
    return {name: padding_share(cuts, positions, policy) for name, policy in policies.items()}
