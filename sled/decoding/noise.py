"""Noise for many utterances, each from its own generator, drawn several frames at a time.

The values are those that a generator would draw frame by frame. When an utterance leaves, its
generator is rewound to the state after the last frame that was used.

Shapes: S slots, F frames drawn at once, N noise width.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

FRAMES_AHEAD = 32
# On a CPU, torch draws normal numbers in blocks of sixteen. Whole blocks have the same values
# whether they are drawn together or one by one.
DRAWN_TOGETHER = 16


class NoiseAhead:
    """Standard normal noise of the utterances in slots 0, 1, 2 and so on.

    Args:
        width: N.
        frames: F.
    """

    def __init__(self, width: int, frames: int = FRAMES_AHEAD) -> None:
        self._frames = frames
        self._drawn = torch.empty(0, frames, width)  # [S, F, N]
        self._next = np.zeros(0, dtype=np.int64)  # frame to use next; F if none is left
        self._generators: list[torch.Generator] = []
        # The first frame that was drawn, and the generator's state before it.
        self._starts: list[tuple[int, Tensor] | None] = []

    def add(self, generator: torch.Generator | None) -> None:
        """Add a generator in the next slot. None: a new one, seeded by torch's global generator."""
        if generator is None:
            generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        slot = len(self._generators)
        self._generators.append(generator)
        self._starts.append(None)
        if slot == len(self._drawn):
            size = max(8, 2 * slot)
            drawn = self._drawn.new_empty(size, *self._drawn.shape[1:])
            drawn[:slot] = self._drawn
            self._drawn, self._next = drawn, np.resize(self._next, size)
        self._next[slot] = self._frames

    def remove(self, slot: int) -> None:
        """Rewind and remove a slot's generator; the last one takes its slot."""
        self.rewind(slot)
        last = len(self._generators) - 1
        if slot != last:
            self._drawn[slot], self._next[slot] = self._drawn[last], self._next[last]
            self._generators[slot] = self._generators[last]
            self._starts[slot] = self._starts[last]
        del self._generators[last], self._starts[last]

    def rewind(self, slot: int) -> None:
        """Set a slot's generator to the state after the last frame that was used."""
        generator, start = self._generators[slot], self._starts[slot]
        if start is not None:
            first, state = start
            generator.set_state(state)
            _draw(generator, self._drawn[slot, first : self._next[slot]])
        self._starts[slot], self._next[slot] = None, self._frames

    def peek(self) -> Tensor:
        """The next frame's noise of all slots, [S, N]."""
        self.draw()
        following = self._next[: len(self._generators)]
        frames = np.arange(len(following)) * self._frames + following
        return self._drawn.flatten(0, 1).index_select(0, torch.from_numpy(frames))

    def advance(self) -> None:
        """Go on to the frame after the one that `peek` returned."""
        self._next[: len(self._generators)] += 1

    def draw(self) -> None:
        """Draw for the slots that have none left; `peek` does it otherwise."""
        for slot in np.nonzero(self._next[: len(self._generators)] == self._frames)[0].tolist():
            # Slots that started together should not run out together again.
            first = 0 if self._starts[slot] else slot % self._frames
            self._starts[slot] = (first, self._generators[slot].get_state())
            _draw(self._generators[slot], self._drawn[slot, first:])
            self._next[slot] = first


def _draw(generator: torch.Generator, frames: Tensor) -> None:
    """Fill [F, N] with what the generator draws frame by frame."""
    if generator.device.type == "cpu" and frames.shape[1] % DRAWN_TOGETHER == 0:
        torch.randn(frames.shape, generator=generator, out=frames)
        return
    # On the generator's device, so that a seed gives the same noise everywhere.
    for frame in frames:
        frame.copy_(torch.randn(frame.shape, generator=generator, device=generator.device))
