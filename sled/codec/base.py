"""The one face that the rest of the package sees of a neural audio codec."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor


class Codec(ABC):
    """Turns speech into latent vectors and back, always in float32.

    Shapes: B batch, S samples, T frames, K codebooks, D latent width.

    Attributes:
        sample_rate: of the waveforms, in Hz.
        hop_length: samples per frame.
        latent_dim: width D of a latent vector.
        num_codebooks: K, the codebooks whose embeddings are summed into a latent.
        codebook_size: entries per codebook.
        device: where the weights lie and the work is done.
    """

    sample_rate: int
    hop_length: int
    latent_dim: int
    num_codebooks: int
    codebook_size: int
    device: torch.device

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    def num_frames(self, num_samples: int) -> int:
        """Frames of a clip; the last one may be partly beyond its end."""
        return -(-num_samples // self.hop_length)

    @abstractmethod
    def encode(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        """Encode clips of any lengths, each exactly as if it were alone.

        Args:
            waveforms: float [S_i], mono, at `sample_rate`.

        Returns:
            int64 codes [K, T_i] with T_i = num_frames(S_i), on the codec's device.

        Raises:
            ValueError: if a clip is empty or not one-dimensional.
        """

    @abstractmethod
    def codes_to_latents(self, codes: Tensor) -> Tensor:
        """Sum the codebook embeddings: int64 [..., K, T] -> float32 [..., T, D]."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Speech of latents, not quantised again: [B, T, D] -> float32 [B, T * hop_length]."""
