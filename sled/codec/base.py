"""The interface of a neural audio codec, as the rest of the package sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sled.codec.stream_state import StreamState
from sled.codec.transforms.token_channel import TokenChannel


class Codec(ABC):
    """Turns speech into units and back, always in float32.

    A unit is the content of one frame: a latent vector [D], or an id [].

    Shapes: B batch, S samples, T frames, K codebooks, ... the shape of a unit.

    Attributes:
        sample_rate: Of the waveforms, in Hz.
        hop_length: Samples per frame.
        unit_shape: Shape of a unit: (D,) for a vector, () for an id.
        unit_dtype: Type of a unit: `torch.float32` for a vector, `torch.long` for an id.
        num_codebooks: K, the codes that describe a frame.
        codebook_size: Entries per codebook.
        device: Where the weights are.
        frames_per_unit: Frames of `stored` in one frame of this codec.
        token_channel: The part of each unit that holds the token being spoken; None without one.
        own_conditions: Names of conditions that this codec reads.
        prompt_conditions: Those of them that are read only at the beginning of a stream that
            continues a recording; their shape may depend on the recording. With them, the codec
            speaks with the voice of a recording that the model has not read.
    """

    sample_rate: int
    hop_length: int
    unit_shape: tuple[int, ...]
    unit_dtype: torch.dtype = torch.float32
    num_codebooks: int
    codebook_size: int
    device: torch.device
    frames_per_unit: int = 1
    token_channel: TokenChannel | None = None
    own_conditions: frozenset[str] = frozenset()
    prompt_conditions: frozenset[str] = frozenset()

    @property
    def stored(self) -> Codec:
        """The codec whose codes a cached corpus holds; one such corpus serves all its transforms.

        `sled.codec.group_codes` turns them into codes of this codec.
        """
        return self

    def to_stored(self, units: Tensor) -> Tensor:
        """Units [..., T, *] as those of `stored`, which has `frames_per_unit` for each."""
        return units

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    def num_frames(self, num_samples: int) -> int:
        """Frames of a clip; the last one may extend beyond its end."""
        return -(-num_samples // self.hop_length)

    @abstractmethod
    def digest(self) -> str:
        """Hexadecimal digest of the weights that determine the codes.

        Two codecs give the same meaning to the same codes only if their digests are equal.
        """

    @abstractmethod
    def encode(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        """Encode clips of any lengths, each exactly as if it were alone.

        Args:
            waveforms: float [S_i], mono, at `sample_rate`.

        Returns:
            int64 codes [K, T_i] with T_i = num_frames(S_i), on the codec's device.

        Raises:
            ValueError: If a clip is empty or not one-dimensional.
        """

    @abstractmethod
    def codes_to_units(self, codes: Tensor) -> Tensor:
        """The units of codes: int64 [..., K, T] -> [..., T, *unit_shape]."""

    @abstractmethod
    def units_to_codes(self, units: Tensor) -> Tensor:
        """Codes of units that were drawn: [..., T, *unit_shape] -> int64 [..., K, T].

        The units of these codes differ by rounding to what codes can express.
        """

    def conditions_of(self, waveform: Tensor, units: Tensor) -> dict[str, Tensor]:
        """Conditions under which speech has the voice of a recording; none by default.

        Args:
            waveform: [S].
            units: [T, *unit_shape] of it.
        """
        return {}

    def encode_prompt(self, waveform: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Encode a recording that is to be continued.

        Args:
            waveform: [S].

        Returns:
            Its units [T, *unit_shape], and the conditions under which speech has its voice.
        """
        units = self.codes_to_units(self.encode([waveform.to(self.device)])[0])
        return units, self.conditions_of(waveform, units)

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names of the speakers that are stored in the codec; none by default."""
        return ()

    def conditions_of_speaker(self, name: str) -> dict[str, Tensor]:
        """Conditions under which speech has the voice of one of `speakers`."""
        raise KeyError(name)

    def recording_of_speaker(self, name: str) -> tuple[tuple[int, ...], Tensor]:
        """What the model reads before it speaks with the voice of one of `speakers`.

        Returns:
            Ids of the text tokens of a recording, and its units [T, *unit_shape]. Both are empty if
            there is no recording, or its words are not known.
        """
        del name
        return (), torch.zeros(0, *self.unit_shape, dtype=self.unit_dtype, device=self.device)

    def kept_from_model(self, conditions: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return conditions under names that only the codec reads, as far as it reads them."""
        return dict(conditions)

    def continue_recording(
        self, units: Tensor, conditions: Mapping[str, Tensor]
    ) -> tuple[StreamState, int]:
        """The state of a stream that has decoded a recording.

        Args:
            units: [T, *unit_shape] the recording.
            conditions: Without the dimension of a batch.

        Returns:
            The state, and how many samples of the recording the stream has returned.
        """
        batch = {name: one[None] for name, one in conditions.items()}
        stream = self.stream_decoder(conditions=batch or None)
        num_samples = stream.decode(units[None]).shape[1]
        return stream.state, num_samples

    @abstractmethod
    def decode(self, units: Tensor, conditions: Mapping[str, Tensor] | None = None) -> Tensor:
        """Decode units, without quantizing them again.

        Latents that need gradients get them, as weights of a codec never do.

        Args:
            units: [B, T, *unit_shape].
            conditions: Further inputs by name, such as a speaker embedding [B, C]. A codec ignores
                those that it has no use for.

        Returns:
            Waveforms, float32 [B, T * hop_length].
        """

    @abstractmethod
    def stream_decoder(
        self, batch_size: int = 1, conditions: Mapping[str, Tensor] | None = None
    ) -> StreamingDecoder:
        """A new stream from units to speech, equal to `decode` however the units are cut.

        Args:
            batch_size: Number of utterances, B.
            conditions: As for `decode`; they hold for the whole stream.

        Raises:
            ValueError: If this codec's architecture cannot be streamed, or for an empty batch.
        """

    @abstractmethod
    def stream_encoder(self, batch_size: int = 1) -> StreamingEncoder:
        """A new stream from speech to codes, equal to `encode` however the speech is cut.

        Raises:
            ValueError: If this codec's architecture cannot be streamed, or for an empty batch.
        """


class StreamingDecoder(ABC):
    """Decodes units piece by piece: B utterances that advance together.

    All pieces and that of `finish`, joined, are the speech that `Codec.decode` makes of all units,
    if no segment is ended before. Between two calls rows may be dropped or streams joined: see
    `StreamState`.

    Attributes:
        state: All that the stream remembers. A call does not change a state; it sets a new one.
        lookahead_frames: Frames after the first that the first samples need. Afterwards each frame
            returns as many samples as a frame lasts, which are its own or those of an earlier one.
        delayed_frames: By how many frames the samples that have been returned stay behind the
            frames that have been fed, from the first samples to the last.
        by_segment: Whether samples come only when a segment or the utterances end, so that it is of
            no use to feed a part of one.
    """

    state: StreamState
    lookahead_frames: int
    delayed_frames: int = 0
    by_segment: bool = False

    @abstractmethod
    def samples_after(self, frames: int) -> int:
        """Samples returned once this many frames have been fed, before `finish`."""

    @abstractmethod
    def decode(self, units: Tensor) -> Tensor:
        """Feed the next t frames, t >= 0: [B, t, *unit_shape] -> float32 [B, s], s >= 0.

        Raises:
            ValueError: If the units have another batch size or shape.
        """

    def end_segment(self) -> Tensor:
        """End a segment of the utterances, such as a sentence: more samples, float32 [B, s].

        A codec that needs all units at once decodes those of each segment by themselves. Its speech
        goes on without a seam. To all others, it means nothing.
        """
        waiting = self.state.waiting
        return torch.zeros(len(waiting), 0, device=waiting.device)

    @abstractmethod
    def finish(self) -> Tensor:
        """End the utterances: the remaining samples, float32 [B, s]. The stream is then new."""


class StreamingEncoder(ABC):
    """Encodes speech piece by piece: B clips that advance together.

    All pieces and that of `finish`, joined, are the codes that `Codec.encode` makes of the whole
    clips. Where two entries of a codebook are equally near up to rounding, either may be chosen.

    Attributes:
        state: All that the stream remembers. A call does not change a state; it sets a new one.
        lookahead_samples: Samples after the first that the first codes need.
    """

    state: StreamState
    lookahead_samples: int

    @abstractmethod
    def frames_after(self, samples: int) -> int:
        """Frames returned once this many samples have been fed, before `finish`."""

    @abstractmethod
    def encode(self, waveforms: Tensor) -> Tensor:
        """Feed the next s samples, s >= 0: float [B, s] -> int64 codes [B, K, t].

        Raises:
            ValueError: If the waveforms are not [B, s].
        """

    @abstractmethod
    def finish(self) -> Tensor:
        """End the clips: the remaining codes, int64 [B, K, t]. The stream is then new."""
