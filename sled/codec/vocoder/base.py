"""What the vocoders have in common: mel frames to samples, as a whole or as a stream.

Shapes: B batch, M mel bands, n frames, S samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn
from typing_extensions import Self

from sled.codec.memory import Memory


class VocoderSizes(Protocol):
    """What the sizes of every vocoder tell.

    Attributes:
        in_channels: M.
        sampling_rate: Hz.
    """

    @property
    def in_channels(self) -> int: ...  # noqa: D102

    @property
    def sampling_rate(self) -> int: ...  # noqa: D102


class Vocoder(nn.Module, ABC):
    """Makes sound of mel frames. Attributes have the published tensor names.

    Attributes:
        KIND: The published name of the class, `kind` in the configuration.
        sizes: Its sizes.
        lookahead_frames: Later frames that the samples of a frame depend on, rounded up.
    """

    KIND: ClassVar[str]
    sizes: VocoderSizes
    lookahead_frames: int

    @property
    @abstractmethod
    def hop_length(self) -> int:
        """Samples of a mel frame."""

    @abstractmethod
    def step(self, mel: Tensor, memory: Memory) -> Tensor:
        """The samples [B, S] that a piece of a mel spectrogram [B, M, n] makes complete.

        The first piece has at least `lookahead_frames`, unless it is the last one.
        """

    def for_inference(self) -> Self:
        """Prepare the vocoder for use without training."""
        return self

    def published_state(self) -> dict[str, Tensor]:
        """The tensors by their published names, also of a vocoder `for_inference`."""
        return dict(self.state_dict())

    @classmethod
    @abstractmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> Self:
        """Make a vocoder with the sizes of a `config.json`; errors as for `Flow.from_dict`."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The content of `config.json`."""

    @classmethod
    @abstractmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """What `from_dict` takes for published weights.

        Raises:
            KeyError: If they are not those of such a vocoder.
        """
