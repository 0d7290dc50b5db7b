"""How the next id is drawn from scores, for models whose units are ids.

Ids are drawn from the most likely ones only (nucleus sampling, Holtzman et al. 2020, and top-k). An
id that has just been drawn is drawn again from all others: repetition aware sampling (VALL-E 2,
Chen et al. 2024), which keeps speech from looping. Every utterance has its own generator, so it
gets the same ids in a batch as alone.

Shapes: B utterances, S scores: the ids of speech, then those that end something.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sled.model.ids import Sampling


@dataclass(frozen=True, eq=False)
class IdDraws:
    """How the next ids of B utterances are drawn.

    Attributes:
        sampling: B settings.
        generators: B generators.
        recent: The newest ids of each utterance, the last one last.
        forbidden: For each utterance the ids that are not drawn.
        useless: For each utterance the ids after which it is drawn again, without these ids.
        unknown: Ids that no utterance draws.
    """

    sampling: Sequence[Sampling]
    generators: Sequence[torch.Generator]
    recent: Sequence[Sequence[int]]
    forbidden: Sequence[Sequence[int]]
    useless: Sequence[Sequence[int]]
    unknown: slice = field(default_factory=lambda: slice(0))


def draw_ids(scores: Tensor, temperature: Sequence[float], draws: IdDraws) -> Tensor:
    """Draw the next id of each utterance.

    Args:
        scores: [B, S] unnormalised log-probabilities.
        temperature: B values that the scores are divided by. 0: the most likely id.
        draws: How to draw.

    Returns:
        int64 [B], on the device of the scores.

    Raises:
        ValueError: If scores are not finite. Then no generator has been used.
    """
    log_p = scores.detach().float().log_softmax(-1).cpu()
    if not log_p.isfinite().all():
        raise ValueError("the model's scores are not finite: its weights are broken")
    log_p[:, draws.unknown] = -torch.inf
    for row, forbidden in enumerate(draws.forbidden):
        log_p[row, list(forbidden)] = -torch.inf
    scale = torch.tensor(temperature)[:, None]
    # Relative to the most likely id, so that no temperature makes all of them impossible.
    relative = (log_p - log_p.amax(-1, keepdim=True)) / scale.where(scale > 0, 1.0)
    log_p = relative.where(scale != 1, log_p)
    ordered, ids = log_p.softmax(-1).sort(descending=True, stable=True)
    before = ordered.double().cumsum(-1) - ordered
    drawn = ids[:, 0].tolist()
    for row, sampling in enumerate(draws.sampling):
        if temperature[row] > 0:
            kept = int((before[row] < sampling.top_p).sum())
            kept = min(kept, sampling.top_k or kept)
            index = _multinomial(ordered[row, :kept], draws.generators[row])
            drawn[row] = _avoid_repetition(int(ids[row, index]), log_p[row], row, draws)
        if drawn[row] in draws.useless[row]:
            log_p[row, list(draws.useless[row])] = -torch.inf
            probabilities = log_p[row].softmax(-1)
            is_greedy = temperature[row] == 0
            drawn[row] = (
                int(probabilities.argmax())
                if is_greedy
                else _multinomial(probabilities, draws.generators[row])
            )
    return torch.tensor(drawn, device=scores.device)


def keep_probability(scores: Tensor, plain: Tensor, kept: int) -> Tensor:
    """Give one id the probability that other scores give it; the others keep their proportions.

    Args:
        scores: [..., S] unnormalised log-probabilities.
        plain: [..., S] those that count for the one id.
        kept: The id.

    Returns:
        [..., S] unnormalised log-probabilities.
    """
    log_p = plain.float().log_softmax(-1)[..., kept]
    log_odds = log_p - torch.log1p(-log_p.exp())
    others = scores.float().index_fill(-1, torch.tensor(kept, device=scores.device), -torch.inf)
    scores = scores.clone()
    scores[..., kept] = (others.logsumexp(-1) + log_odds).to(scores.dtype)
    return scores


def _avoid_repetition(drawn: int, log_p: Tensor, row: int, draws: IdDraws) -> int:
    """Draw again, without this id, if it has been drawn too often; changes `log_p` [S]."""
    sampling = draws.sampling[row]
    recent = draws.recent[row][-sampling.window :] if sampling.window else ()
    if list(recent).count(drawn) < sampling.repetitions:
        return drawn
    log_p[drawn] = -torch.inf
    if not log_p.isfinite().any():  # it is the only id that is possible
        return drawn
    return _multinomial(log_p.softmax(-1), draws.generators[row])


def _multinomial(probabilities: Tensor, generator: torch.Generator) -> int:
    """Draw an index with these probabilities [S], which need not sum to 1."""
    on_device = probabilities.to(generator.device)
    return int(torch.multinomial(on_device, 1, replacement=True, generator=generator))
