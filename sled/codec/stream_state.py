"""What a stream remembers, as one explicit value."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LayerState = tuple[Tensor, ...]
"""What one layer remembers; each tensor is [B, ...]."""


@dataclass(frozen=True)
class StreamState:
    """All that a stream remembers of its B rows.

    A state is never changed: a stream that advances gets a new one. So whoever keeps a state can
    come back to it, and what is made of it below can be put back into a stream of the same codec.

    Attributes:
        waiting: [B, C, n] inputs that have come before there were enough of them to start.
        layers: what each layer remembers, in order; empty for as long as the stream waits.
    """

    waiting: Tensor
    layers: tuple[LayerState, ...] = ()

    @property
    def batch_size(self) -> int:
        """The number of rows, B."""
        return len(self.waiting)

    @property
    def started(self) -> bool:
        """Whether anything has gone through the layers."""
        return bool(self.layers)

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor, always in the same order; rows are the first dimension."""
        yield self.waiting
        for layer in self.layers:
            yield from layer

    def kind(self) -> tuple[torch.Size, ...]:
        """How much is remembered of a row: states of one kind can be joined."""
        return tuple(tensor.shape[1:] for tensor in self.tensors())

    def map(self, change: Callable[[Tensor], Tensor]) -> "StreamState":
        """A state of the changed tensors, which `change` sees in the order of `tensors`."""
        return StreamState(
            change(self.waiting), tuple(tuple(map(change, layer)) for layer in self.layers)
        )

    def to(self, device: str | torch.device) -> "StreamState":
        """The state on another device."""
        return self.map(lambda tensor: tensor.to(device))

    def clone(self) -> "StreamState":
        """A copy that shares no memory."""
        return self.map(torch.clone)

    def select(self, rows: Sequence[int]) -> "StreamState":
        """The state of these rows alone, in this order."""
        return self.map(lambda tensor: tensor[list(rows)])

    @staticmethod
    def cat(states: Sequence["StreamState"]) -> "StreamState":
        """One state with the rows of all.

        Raises:
            ValueError: if the streams remember different amounts. Decoders that have started
                never do; others do unless they have been fed equally much.
        """
        kinds = {state.kind() for state in states}
        if len(kinds) != 1:
            raise ValueError(
                f"cannot join {len(states)} streams that remember {len(kinds)} different amounts "
                "of input: join them after they have been fed equally much"
            )
        groups = zip(*(state.tensors() for state in states), strict=True)
        joined = iter([torch.cat(group) for group in groups])
        return states[0].map(lambda _: next(joined))
