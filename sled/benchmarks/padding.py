"""Share of padding in batches, for each way to make batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lhotse import CutSet
from lhotse.cut import Cut

from sled.data.sampling import SpeechBatches


def batching_policies(
    batch_size: int, max_duration_s: float, quadratic_duration_s: float
) -> dict[str, dict[str, Any]]:
    """Return arguments of `SpeechBatches` for each way to make batches, the baseline first."""
    by_duration = {"max_duration_s": max_duration_s}
    penalised = {**by_duration, "quadratic_duration_s": quadratic_duration_s}
    return {
        f"{batch_size} cuts in order": {"max_cuts": batch_size, "by_length": False},
        f"{batch_size} cuts of similar length": {"max_cuts": batch_size},
        f"{max_duration_s:g} s of similar length": by_duration,
        f"{max_duration_s:g} s, long cuts penalised": penalised,
    }


def padding_share(cuts: Sequence[Cut], positions: Sequence[int], policy: dict[str, Any]) -> float:
    """Return the share of padding in the right-padded batches of an epoch.

    Args:
        cuts: A corpus; only the durations are used.
        positions: Text tokens plus frames of each cut.
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
    """Return `padding_share` of each policy."""
    return {name: padding_share(cuts, positions, policy) for name, policy in policies.items()}
