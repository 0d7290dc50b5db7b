"""How a codec of speech tokens decodes, under the keys of its config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from sled.codec.flow.matching import SolverOptions
from sled.codec.token_codec import MODEL_TYPE


@dataclass(frozen=True, kw_only=True)
class TokenCodecSettings:
    """How a codec of speech tokens decodes.

    Attributes:
        solver: How the flow is solved.
        left_frames: Newest mel frames that a stream attends to, beside the prompt and its chunk.
            None: two chunks, or what the flow says. -1: all, as published; then the cost of a
            chunk and the memory of a stream grow with the speech.
    """

    solver: SolverOptions = field(default_factory=SolverOptions)
    left_frames: int | None = None

    def __post_init__(self) -> None:
        left = self.left_frames
        if left is not None and (type(left) is not int or left < -1 or (left > 0 and left % 2)):
            raise ValueError(f"left_frames must be an even number from 0, or -1, got {left!r}")

    @classmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> TokenCodecSettings:
        """Read the content of config.json; other keys are ignored.

        Raises:
            ValueError: If a value makes no sense.
        """
        names = {one.name for one in fields(SolverOptions)}
        solver = {name: value for name, value in flat.items() if name in names}
        try:
            return cls(solver=SolverOptions(**solver), left_frames=flat.get("left_frames"))
        except TypeError as error:
            raise ValueError(f"{solver} has a value of the wrong type") from error

    def to_dict(self) -> dict[str, Any]:
        """The content of config.json."""
        own = {"model_type": MODEL_TYPE, "left_frames": self.left_frames}
        return {**own, **asdict(self.solver)}
