"""The interface of a transform: an invertible map of a codec's latent vectors.

Shapes: T frames of the units that go in, D their width; E the width of those that come out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from typing_extensions import Self


class FitData(Protocol):
    """What transforms are fitted to: a corpus, in the units that the transforms before give.

    Each method raises a ValueError if what it returns is not available.
    """

    def units(self, cuts: int) -> Iterable[Tensor]:
        """Units [T, D] of this many cuts, or of all if there are fewer."""
        ...

    def units_with_sounds(self, cuts: int) -> Iterable[tuple[Tensor, Tensor]]:
        """The same, and the number of each frame's sound [T], -1 where it is not known."""
        ...

    def vocab_size(self) -> int:
        """Number of tokens of the tokenizer."""
        ...


class Transform(ABC):
    """An invertible map from the units of the codec, or of the transform before, to its own.

    Subclasses are frozen dataclasses. Their fields are the parameters: tensors, all float32, are
    stored in a file of their own, other values in the list of transforms.

    Attributes:
        kind: Name of the transform in lists and files.
        frames: How many frames become one.
    """

    kind: ClassVar[str]
    frames: int = 1

    @classmethod
    @abstractmethod
    def fit(cls, data: FitData, *args: Any, **kwargs: Any) -> tuple[Self, str]:
        """Fit the transform to a corpus; keyword arguments are its settings.

        Returns:
            The transform, and a sentence for the user about it.

        Raises:
            ValueError: If a setting is out of range, or the corpus does not suffice.
        """

    @abstractmethod
    def width(self, below: int) -> int:
        """The width E of its units, given that of the units that go in.

        Raises:
            ValueError: If it cannot be applied to units of that width.
        """

    @abstractmethod
    def forward(self, units: Tensor) -> Tensor:
        """Transform units: [..., frames * T, D] -> [..., T, E]."""

    @abstractmethod
    def inverse(self, units: Tensor) -> Tensor:
        """Undo `forward`: [..., T, E] -> [..., frames * T, D]."""

    def check(self) -> None:  # noqa: B027  # most have nothing to check
        """Make sure that the parameters, as they were read from a file, can be used.

        Raises:
            ValueError: If they cannot.
        """

    def tensors(self) -> dict[str, Tensor]:
        """The parameters that are tensors."""
        return {name: x for name, x in self._parameters().items() if isinstance(x, Tensor)}

    def settings(self) -> dict[str, int | float]:
        """The other parameters."""
        return {name: x for name, x in self._parameters().items() if not isinstance(x, Tensor)}

    def _parameters(self) -> dict[str, Any]:
        names = [field.name for field in fields(self)]  # type: ignore[arg-type]  # see above
        return {name: getattr(self, name) for name in names}

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        moved = {name: tensor.to(device) for name, tensor in self.tensors().items()}
        return type(self)(**self.settings(), **moved)

    def save(self, path: Path) -> None:
        """Write the tensors."""
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors().items()}
        save_file(tensors, path, metadata={"format": "pt"})

    @classmethod
    def load(cls, settings: dict[str, int | float], path: Path | None) -> Self:
        """Make a transform of its settings and its file of tensors, if it has tensors.

        Raises:
            ValueError: If the file cannot be read, or these are not its parameters.
        """
        try:
            transform = cls(**settings, **({} if path is None else load_file(path)))
            transform.check()
        except (SafetensorError, TypeError, ValueError) as error:
            where = cls.kind if path is None else str(path)
            raise ValueError(
                f"{where} cannot be used as {cls.kind} transform ({error}): fit or copy it again"
            ) from error
        return transform
