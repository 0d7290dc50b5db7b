"""Draws of units, without PyTorch: the same numbers as `sled.model` draws of the same noise.

Shapes: S scores, N noise width, K draws.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np

from sled.model.ids import Sampling

# See `sled.model.heads.draws`.
GOLDEN_RATIO = 0.6180339887498949


class Noise(Protocol):
    """Random numbers; `numpy.random.Generator` is one."""

    def standard_normal(self, size: int) -> np.ndarray:
        """Normal numbers [size] of deviation 1."""
        ...

    def standard_exponential(self, size: int) -> np.ndarray:
        """Exponentially distributed numbers [size] of mean 1."""
        ...


def noise_variants(noise: np.ndarray, count: int) -> np.ndarray:
    """Noise [K, N] made of noise [N], as `sled.model.heads.draws.noise_variants`."""
    turns = [int(len(noise) * (pair * GOLDEN_RATIO % 1)) for pair in range((count + 1) // 2)]
    both = [sign * np.roll(noise, turn) for turn in turns for sign in (1, -1)]
    return np.stack(both[:count])


def draw_id(
    scores: np.ndarray,
    temperature: float,
    sampling: Sampling,
    noise: Noise,
    recent: Sequence[int],
    forbidden: Collection[int],
    useless: Collection[int],
    unknown: slice = slice(0),
) -> int:
    """Draw an id, as `sled.model.sampling.draw_ids` does for one utterance.

    Args:
        scores: [S] unnormalised log-probabilities.
        temperature: What they are divided by. 0: the most likely id.
        sampling: Which ids may be drawn.
        noise: Random numbers.
        recent: The newest ids, the last one last.
        forbidden: Ids that are not drawn.
        useless: Ids after which it is drawn again, without these ids.
        unknown: Further ids that are not drawn.

    Raises:
        ValueError: If scores are not finite.
    """
    log_p = _log_softmax(scores.astype(np.float32))
    if not np.isfinite(log_p).all():
        raise ValueError("the model's scores are not finite: its weights are broken")
    log_p[unknown] = -np.inf
    log_p[list(forbidden)] = -np.inf
    if temperature not in (0, 1):
        log_p = (log_p - log_p.max()) / np.float32(temperature)
    probabilities = _softmax(log_p)
    ids = np.argsort(-probabilities, kind="stable")
    ordered = probabilities[ids]
    drawn = int(ids[0])
    if temperature > 0:
        before = np.cumsum(ordered, dtype=np.float64) - ordered
        kept = int((before < sampling.top_p).sum())
        kept = min(kept, sampling.top_k or kept)
        drawn = int(ids[_choose(ordered[:kept], noise)])
        window = list(recent[-sampling.window :]) if sampling.window else []
        if window.count(drawn) >= sampling.repetitions:
            log_p[drawn] = -np.inf
            if np.isfinite(log_p).any():
                drawn = _choose(_softmax(log_p), noise)
    if drawn in useless:
        log_p[list(useless)] = -np.inf
        probabilities = _softmax(log_p)
        drawn = int(probabilities.argmax()) if temperature == 0 else _choose(probabilities, noise)
    return drawn


def score_to_keep(scores: np.ndarray, plain: np.ndarray, kept: int) -> float:
    """The score of an id among `scores` [S] with which it is as likely as among `plain` [S].

    See `sled.model.sampling.keep_probability`.
    """
    log_p = _log_softmax(plain.astype(np.float32))[kept]
    others = np.delete(scores, kept).astype(np.float32)
    total = others.max() + np.log(np.exp(others - others.max()).sum())
    return float(total + log_p - np.log1p(-np.exp(log_p)))


def _choose(probabilities: np.ndarray, noise: Noise) -> int:
    """Draw an index with these probabilities [S], which need not sum to 1."""
    waits = noise.standard_exponential(len(probabilities)).astype(np.float32)
    with np.errstate(divide="ignore"):
        return int((probabilities / waits).argmax())


def _log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - x.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def _softmax(x: np.ndarray) -> np.ndarray:
    exponents = np.exp(x - x.max())
    return np.asarray(exponents / exponents.sum())
