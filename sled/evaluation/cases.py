"""The result of comparing one recorded case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

TOLERANCE, LOOSE_TOLERANCE = 1e-5, 1e-4
# What sums so many rounding errors that it agrees less well.
LOOSE = ("gradient", "source", "waveform")


@dataclass
class CaseResult:
    """Errors of one case, by what was compared.

    Attributes:
        name: Name of the case.
        errors: Relative error ||ours - theirs|| / ||theirs|| of each quantity.
        mismatches: Quantities that must be equal and are not.
        skipped: Whether the case was not run.
    """

    name: str
    errors: dict[str, float] = field(default_factory=dict)
    mismatches: list[str] = field(default_factory=list)
    skipped: bool = False

    @property
    def passed(self) -> bool:
        """Whether all errors are within tolerance."""
        return not self.mismatches and all(
            error <= (LOOSE_TOLERANCE if what.startswith(LOOSE) else TOLERANCE)
            for what, error in self.errors.items()  # NaN compares false, and so fails
        )

    @property
    def worst(self) -> float:
        """The largest relative error of the case."""
        return max(self.errors.values(), default=0.0)

    def compare(self, what: str, ours: Tensor, theirs: Tensor) -> None:
        """Record a relative error, or a mismatch of shapes."""
        if ours.shape != theirs.shape:
            self.mismatches.append(f"{what} {list(ours.shape)} against {list(theirs.shape)}")
            return
        scale = theirs.norm().clamp_min(torch.finfo(torch.float32).tiny)
        error = float((ours - theirs).norm() / scale)
        self.errors[what] = max(error, self.errors.get(what, 0.0))

    def compare_gradients(self, ours: Mapping[str, Tensor], theirs: Mapping[str, float]) -> None:
        """Record relative errors of the norms of gradients, by the names of parameters."""
        # Gradients that are zero in exact arithmetic, as those of the biases of keys, are noise.
        noise = 1e-6 * max(theirs.values())
        for name, norm in theirs.items():
            own = ours.get(name, torch.tensor(0.0))
            if norm > noise:
                self.compare(f"gradient norm of {name}", own, torch.tensor(norm))
            else:
                self.require(f"gradient norm of {name}", float(own) <= noise)

    def require(self, what: str, holds: bool) -> None:
        """Record a mismatch unless `holds`."""
        if not holds:
            self.mismatches.append(what)
