"""The one face that the rest of the package sees of a neural audio codec."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from sled.codec.stream_state import StreamState


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
        frames_per_latent: frames of `stored` in one frame of this codec.
    """

    sample_rate: int
    hop_length: int
    latent_dim: int
    num_codebooks: int
    codebook_size: int
    device: torch.device
    frames_per_latent: int = 1

    @property
    def stored(self) -> "Codec":
        """The codec whose codes a corpus holds: one cached corpus serves all views of them.

        `sled.codec.group_codes` makes codes of this codec of them.
        """
        return self

    def to_stored(self, latents: Tensor) -> Tensor:
        """Latents [..., T, D] as those of `stored`, which has `frames_per_latent` for each."""
        return latents

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    def num_frames(self, num_samples: int) -> int:
        """Frames of a clip; the last one may be partly beyond its end."""
        return -(-num_samples // self.hop_length)

    @abstractmethod
    def digest(self) -> str:
        """Hexadecimal digest of the weights that decide the codes.

        Codes made by one codec have the same meaning to another only if the digests are equal.
        """

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

    @abstractmethod
    def stream_decoder(self, batch_size: int = 1) -> "StreamingDecoder":
        """A new stream of latents to speech, equal to `decode` however the latents are cut.

        Raises:
            ValueError: if this codec's architecture cannot be streamed, or for an empty batch.
        """

    @abstractmethod
    def stream_encoder(self, batch_size: int = 1) -> "StreamingEncoder":
        """A new stream of speech to codes, equal to `encode` however the speech is cut.

        Raises:
            ValueError: if this codec's architecture cannot be streamed, or for an empty batch.
        """


class StreamingDecoder(ABC):
    """Latents in, speech out, piece by piece: B utterances that advance together.

    All pieces joined, with that of `finish`, are the speech `Codec.decode` makes of all latents.
    Between two calls rows may be dropped or streams joined: see `StreamState`.

    Attributes:
        state: all that the stream remembers. No call changes a state, it puts a new one here.
        lookahead_frames: frames after the first that its speech waits for. It is a delay at the
            start only; from then on every frame's speech comes out with the frame.
    """

    state: StreamState
    lookahead_frames: int

    @abstractmethod
    def samples_after(self, frames: int) -> int:
        """Samples that have come out once so many frames have gone in, before `finish`."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Feed the next t frames, any number of them: [B, t, D] -> float32 [B, s], s >= 0.

        Raises:
            ValueError: if the latents are of another batch size or width.
        """

    @abstractmethod
    def finish(self) -> Tensor:
        """End the utterances: the samples still due, float32 [B, s]. The stream is then new."""


class StreamingEncoder(ABC):
    """Speech in, codes out, piece by piece: B clips that advance together.

    All pieces joined, with that of `finish`, are the codes `Codec.encode` makes of the whole
    clips (where two entries of a codebook are equally near, to rounding, it may choose either).

    Attributes:
        state: all that the stream remembers. No call changes a state, it puts a new one here.
        lookahead_samples: samples after the first that the first codes wait for.
    """

    state: StreamState
    lookahead_samples: int

    @abstractmethod
    def frames_after(self, samples: int) -> int:
        """Frames that have come out once so many samples have gone in, before `finish`."""

    @abstractmethod
    def encode(self, waveforms: Tensor) -> Tensor:
        """Feed the next s samples, any number of them: float [B, s] -> int64 codes [B, K, t].

        Raises:
            ValueError: if the waveforms are not [B, s].
        """

    @abstractmethod
    def finish(self) -> Tensor:
        """End the clips: the codes still due, int64 [B, K, t]. The stream is then new."""
