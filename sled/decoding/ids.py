"""How the ids of a step are drawn and what they mean, for models whose units are ids.

Shapes: B utterances in a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sled.decoding.utterance import Utterance
from sled.model.ids import SpeechIds
from sled.model.sampling import IdDraws


def plan_draws(ids: SpeechIds, utterances: Sequence[Utterance], may_stop: np.ndarray) -> IdDraws:
    """How the next ids are drawn.

    Args:
        ids: The ids of the model.
        utterances: The B utterances.
        may_stop: Boolean [B], True where speech may end.
    """
    generators = []
    forbidden: list[list[int]] = []
    useless: list[list[int]] = []
    for utterance, may in zip(utterances, may_stop.tolist(), strict=True):
        assert utterance.generator is not None
        generators.append(utterance.generator)
        row = utterance.rows[0]
        forbidden.append([] if may or ids.end is None else [ids.end])
        # In the offline layout, any id that is no speech ends it.
        ending = [] if row.layout.is_offline else list(range(ids.speech + 1, ids.scored))
        if ids.fill in ending and not row.has_read_text:
            ending.remove(ids.fill)
        useless.append(ending)
    sampling = [utterance.options.sampling for utterance in utterances]
    recent = [utterance.recent for utterance in utterances]
    return IdDraws(sampling, generators, recent, forbidden, useless, ids.unknown)


def take_ids(
    ids: SpeechIds, utterances: Sequence[Utterance], drawn: Sequence[int]
) -> tuple[np.ndarray, list[Utterance]]:
    """Take the ids that were drawn.

    Args:
        ids: The ids of the model.
        utterances: The B utterances.
        drawn: B ids.

    Returns:
        Which utterances end, boolean [B], and those whose chunk of speech ends: they have written
        no frame.
    """
    ended = np.zeros(len(utterances), dtype=bool)
    filled = []
    for index, (utterance, unit) in enumerate(zip(utterances, drawn, strict=True)):
        utterance.remember(unit)
        if unit == ids.fill and not utterance.rows[0].layout.is_offline:
            filled.append(utterance)
        else:
            ended[index] = unit >= ids.speech
    return ended, filled
