"""The state of a stream, as one explicit value."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LayerState = tuple[Tensor, ...]
"""The state of one layer; each tensor is [B, ...]."""


@dataclass(frozen=True)
class StreamState:
    """The state of a stream with B rows.

    A state never changes: a stream that advances gets a new one. So a kept state can be restored,
    and states made by the methods below can be set in a stream of the same codec.

    Attributes:
        waiting: [B, C, n] inputs that were fed before there were enough of them to start.
        layers: state of each layer, in order; empty until the stream starts.
    """

    waiting: Tensor
    layers: tuple[LayerState, ...] = ()

    @property
    def batch_size(self) -> int:
        """The number of rows, B."""
        return len(self.waiting)

    @property
    def started(self) -> bool:
        """Whether the layers have processed anything."""
        return bool(self.layers)

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor, always in the same order; rows are the first dimension."""
        yield self.waiting
        for layer in self.layers:
            yield from layer

    def kind(self) -> tuple[torch.Size, ...]:
        """The shapes of a row's tensors: states of one kind can be joined."""
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
            ValueError: if the states differ in shape. Those of decoders that have started never
                do; others do unless the streams have been fed the same amount.
        """
        kinds = {state.kind() for state in states}
        if len(kinds) != 1:
            raise ValueError(
                f"cannot join {len(states)} streams whose states have {len(kinds)} different "
                "shapes: join them after they have been fed equally much"
            )
        groups = zip(*(state.tensors() for state in states), strict=True)
        joined = iter([torch.cat(group) for group in groups])
        return states[0].map(lambda _: next(joined))
