"""What layers remember from one piece of a signal to the next.

A layer that needs earlier columns takes them from a `Memory`, and leaves there what it needs of the
present piece. Layers do so in the order in which they run, so that the state of a network is a flat
tuple of tensors. A whole signal is one piece, so both ways use the same code.

Shapes: B batch, C channels, n columns, which are points in time at the layer's own rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Window:
    """Which columns attention remembers.

    Attributes:
        prompt: Columns at the beginning that are always kept.
        left: Newest columns that are kept. None: all.
    """

    prompt: int = 0
    left: int | None = None


class Memory:
    """The memory of a network while it runs on one piece.

    Args:
        before: What `after` was at the end of the piece before. None: the signal begins.
        ends: Whether the signal ends with this piece; then nothing is remembered.
        window: What attention remembers.

    Attributes:
        after: What the layers remember, in the order in which they run.
    """

    def __init__(
        self,
        before: Sequence[Tensor] | None = None,
        ends: bool = False,
        window: Window = Window(),  # noqa: B008 (it is frozen)
    ) -> None:
        self.begins, self.ends = before is None, ends
        self._before = iter(before or ())
        self._window = window
        self.after: list[Tensor] = []

    @classmethod
    def of_whole(cls) -> Memory:
        """The memory for a signal in one piece."""
        return cls(None, True)

    def past(self, x: Tensor, columns: int) -> Tensor:
        """Put earlier columns before a piece: [B, C, n] -> [B, C, columns + n].

        Before the signal there are zeros.
        """
        before = x.new_zeros(*x.shape[:-1], columns) if self.begins else next(self._before)
        joined = torch.cat((before, x), -1)
        self._keep(joined, joined.shape[-1] - columns, -1)
        return joined

    def keys(self, x: Tensor) -> Tensor:
        """Put what attention remembers before a piece: [B, n, ...] -> [B, k + n, ...]."""
        if not self.begins:
            x = torch.cat((next(self._before), x), 1)
        if self.ends:
            return x
        prompt, left = self._window.prompt, self._window.left
        first = 0 if left is None else max(prompt, x.shape[1] - left)
        kept = x if first <= prompt else torch.cat((x[:, :prompt], x[:, first:]), 1)
        self.after.append(kept)
        return x

    def windows(
        self, x: Tensor, size: int, step: int, left: int, right: int, mode: str = "constant"
    ) -> Tensor:
        """Columns of whole windows, with those that wait from earlier pieces.

        Args:
            x: [B, C, n] the piece.
            size: Columns of a window.
            step: Columns between two windows.
            left: Columns to add before the signal.
            right: Columns to add after it.
            mode: What these are: "constant", zeros, or "reflect", the signal mirrored.

        Returns:
            [B, C, size + (k - 1) step] for the k windows that are complete; empty for none.
        """
        x = F.pad(x, (left, 0), mode) if self.begins else torch.cat((next(self._before), x), -1)
        if self.ends:
            x = F.pad(x, (0, right), mode)
        count = max(0, (x.shape[-1] - size) // step + 1)
        self._keep(x, count * step, -1)
        return x[..., : size + (count - 1) * step] if count else x[..., :0]

    def together(self, *signals: Tensor) -> list[Tensor]:
        """Cut signals [B, C, n_i] to the columns that all have; the others wait."""
        if not self.begins:
            signals = tuple(torch.cat((next(self._before), x), -1) for x in signals)
        columns = min(x.shape[-1] for x in signals)
        for x in signals:
            self._keep(x, columns, -1)
        return [x[..., :columns] for x in signals]

    def exchange(self, new: Tensor) -> Tensor | None:
        """Remember a tensor; returns the one that was remembered, None at the beginning."""
        before = None if self.begins else next(self._before)
        if not self.ends:
            self.after.append(new)
        return before

    def _keep(self, x: Tensor, start: int, dim: int) -> None:
        if not self.ends:
            # A view would keep the whole piece.
            self.after.append(x.narrow(dim, start, x.shape[dim] - start).clone())
