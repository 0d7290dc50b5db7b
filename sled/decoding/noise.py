"""Noise for many utterances, each from its own generator, drawn for many frames at a time.

The frames are what a generator would draw one by one. It is put back to where it would then stand
whenever its utterance leaves, so nobody can tell that it had been ahead.

Shapes: P places, F frames drawn at once, N noise width.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

FRAMES_AHEAD = 32
# On the processor torch makes normal numbers sixteen at a time: whole sixteens are the same
# whether they are drawn together or not.
DRAWN_TOGETHER = 16


class NoiseAhead:
    """Standard normal noise of utterances at places 0, 1, 2 and so on.

    Args:
        width: N.
        frames: F.
    """

    def __init__(self, width: int, frames: int = FRAMES_AHEAD) -> None:
        self._frames = frames
        self._drawn = torch.empty(0, frames, width)  # [P, F, N]
        self._next = np.zeros(0, dtype=np.int64)  # of the F; F if none are left
        self._generators: list[torch.Generator] = []
        # Where the first of what is there lies, and the state from which it was drawn.
        self._starts: list[tuple[int, Tensor] | None] = []

    def add(self, generator: torch.Generator | None) -> None:
        """Take up a generator in the next place. None: a new one, seeded by torch's own."""
        if generator is None:
            generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        place = len(self._generators)
        self._generators.append(generator)
        self._starts.append(None)
        if place == len(self._drawn):
            size = max(8, 2 * place)
            drawn = self._drawn.new_empty(size, *self._drawn.shape[1:])
            drawn[:place] = self._drawn
            self._drawn, self._next = drawn, np.resize(self._next, size)
        self._next[place] = self._frames

    def remove(self, place: int) -> None:
        """Put a place's generator back to where it belongs; the last place fills the gap."""
        self.put_back(place)
        last = len(self._generators) - 1
        if place != last:
            self._drawn[place], self._next[place] = self._drawn[last], self._next[last]
            self._generators[place] = self._generators[last]
            self._starts[place] = self._starts[last]
        del self._generators[last], self._starts[last]

    def put_back(self, place: int) -> None:
        """Let a place's generator stand behind the last frame that was taken."""
        generator, start = self._generators[place], self._starts[place]
        if start is not None:
            first, state = start
            generator.set_state(state)
            _draw(generator, self._drawn[place, first : self._next[place]])
        self._starts[place], self._next[place] = None, self._frames

    def take(self) -> Tensor:
        """The next frame's noise of all places, [P, N]."""
        self.draw()
        following = self._next[: len(self._generators)]
        lines = np.arange(len(following)) * self._frames + following
        noise = self._drawn.flatten(0, 1).index_select(0, torch.from_numpy(lines))
        following += 1
        return noise

    def draw(self) -> None:
        """Draw for those who have none left, which `take` would do else."""
        for place in np.nonzero(self._next[: len(self._generators)] == self._frames)[0].tolist():
            # Those who came together shall not all run out together again.
            first = 0 if self._starts[place] else place % self._frames
            self._starts[place] = (first, self._generators[place].get_state())
            _draw(self._generators[place], self._drawn[place, first:])
            self._next[place] = first


def _draw(generator: torch.Generator, frames: Tensor) -> None:
    """Fill [F, N] with what the generator draws frame by frame."""
    if generator.device.type == "cpu" and frames.shape[1] % DRAWN_TOGETHER == 0:
        torch.randn(frames.shape, generator=generator, out=frames)
        return
    for frame in frames:  # drawn where the generator is, so that a seed means the same everywhere
        frame.copy_(torch.randn(frame.shape, generator=generator, device=generator.device))
