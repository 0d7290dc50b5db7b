"""Best path of a known text through the output of a CTC network (Graves et al., 2006).

A text of L symbols has 2 L + 1 states. The symbols are the odd states; the others are blanks, which
may be skipped unless the symbols on both sides are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CtcPath:
    """The state of each frame and its log-probability.

    Attributes:
        states: [T], from 0 to 2 L; symbol i of the text is state 2 i + 1.
        scores: [T]; the score of the path is their sum.
    """

    states: np.ndarray
    scores: np.ndarray


def best_paths(
    log_probs: np.ndarray, num_frames: Sequence[int], texts: Sequence[Sequence[int]], blank: int = 0
) -> list[CtcPath | None]:
    """Align a batch of texts with clips.

    Args:
        log_probs: [B, T, C], padded; only the frames of each clip are read.
        num_frames: Number of frames of each clip, at least 1.
        texts: Symbols of each clip, at least one and none of them blank.
        blank: The blank symbol.

    Returns:
        A path for each clip. None: the clip has too few frames for its text.
    """
    clips, lengths = np.arange(len(texts)), np.array(num_frames)
    symbols, may_skip, last = _states(texts, blank)
    # [T, B, states]: the log-probability of being in each state.
    emissions = np.take_along_axis(log_probs, symbols[:, None], axis=2).transpose(1, 0, 2)
    totals = np.full(symbols.shape, -np.inf)
    totals[:, :2] = emissions[0, :, :2]
    steps = np.zeros(emissions.shape, np.int8)  # states advanced since the previous frame
    for frame in range(1, int(lengths.max())):
        stay, step, skip = totals, np.full_like(totals, -np.inf), np.full_like(totals, -np.inf)
        step[:, 1:] = totals[:, :-1]
        skip[:, 2:] = np.where(may_skip[:, 2:], totals[:, :-2], -np.inf)
        best = np.maximum(np.maximum(stay, step), skip)
        goes_on = (frame < lengths)[:, None]
        steps[frame] = np.where(best == stay, 0, np.where(best == step, 1, 2)) * goes_on
        totals = np.where(goes_on, best + emissions[frame], totals)

    states = np.empty(emissions.shape[:2], int)
    state = np.where(totals[clips, last] > totals[clips, last - 1], last, last - 1)
    possible = np.isfinite(totals[clips, state])
    for frame in reversed(range(len(states))):
        states[frame] = state
        state = state - steps[frame, clips, state]
    scores = np.take_along_axis(emissions, states[..., None], axis=2)[..., 0]
    return [
        CtcPath(states[:length, clip], scores[:length, clip]) if possible[clip] else None
        for clip, length in enumerate(lengths)
    ]


def _states(
    texts: Sequence[Sequence[int]], blank: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Symbol of each state, and whether the blank before it may be skipped, [B, states].

    Also the last state of each text [B]. States beyond it are blanks that lead nowhere.
    """
    symbols = np.full((len(texts), 2 * max(map(len, texts)) + 1), blank)
    for clip, text in enumerate(texts):
        symbols[clip, 1 : 2 * len(text) : 2] = text
    may_skip = np.zeros(symbols.shape, bool)
    may_skip[:, 3::2] = symbols[:, 3::2] != symbols[:, 1:-2:2]
    return symbols, may_skip, np.array([2 * len(text) for text in texts])
