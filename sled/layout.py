"""How text tokens and speech frames share one sequence.

One closed form serves both layouts. With text chunks of n tokens and speech chunks of m frames,
a sample of L tokens and T frames reads `min(L, n * (t // m + 1))` tokens before frame t, and
writes `min(T, m * (j // n))` frames before token j. The offline layout is n = infinity: every
token before every frame. A sample whose text is dropped is simply one of a single token.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sled.config import SpeechLlamaConfig


@dataclass(frozen=True)
class Segment:
    """A run of consecutive inputs of one kind: tokens or frames `start` up to `stop`."""

    is_text: bool
    start: int
    stop: int


@dataclass(frozen=True)
class Arrangement:
    """Index tensors that interleave a padded batch (B samples, L tokens, T frames, P positions).

    Attributes:
        source: [B, P] for each position, the input there: j for token j, L + t for frame t.
            Padding positions hold 0.
        length: [B] real positions of each sample.
        predictor: [B, T + 1] position whose hidden state describes frame t; at t = T_b, the
            position right after the sample's own last frame, which must say "stop".
        predicts: [B, T + 1] True where `predictor` is real, that is for t <= T_b.
    """

    source: Tensor
    length: Tensor
    predictor: Tensor
    predicts: Tensor


@dataclass(frozen=True)
class Layout:
    """Offline when both fields are None, else n text tokens and m frames in turn."""

    text_chunk: int | None = None
    speech_chunk: int | None = None

    def __post_init__(self) -> None:
        if (self.text_chunk is None) != (self.speech_chunk is None):
            raise ValueError(f"{self}: give both chunk sizes, or neither for the offline layout")
        if self.text_chunk is not None and min(self.text_chunk, self.speech_chunk or 0) < 1:
            raise ValueError(f"{self}: chunk sizes must be at least 1")

    @classmethod
    def from_config(cls, config: SpeechLlamaConfig) -> Layout:
        """The layout a checkpoint was trained for."""
        return cls(config.stream_n, config.stream_m)

    @property
    def is_offline(self) -> bool:
        return self.text_chunk is None

    def tokens_before(self, frame: int, num_tokens: int) -> int:
        """Number of the `num_tokens` text tokens that are read before `frame` is written."""
        if self.text_chunk is None or self.speech_chunk is None:
            return num_tokens
        return min(num_tokens, self.text_chunk * (frame // self.speech_chunk + 1))

    def segments(
        self, *, tokens_read: int, frames_read: int, until_frame: int, num_tokens: int
    ) -> Iterator[Segment]:
        """Inputs still to be read before frame `until_frame` can be predicted, in order."""
        frame = frames_read
        while True:
            due = self.tokens_before(frame, num_tokens)
            if due > tokens_read:
                yield Segment(True, tokens_read, due)
                tokens_read = due
            if frame >= until_frame:
                return
            stop = until_frame
            if self.speech_chunk is not None:
                stop = min(stop, (frame // self.speech_chunk + 1) * self.speech_chunk)
            yield Segment(False, frame, stop)
            frame = stop

    def arrange(self, num_tokens: Tensor, num_frames: Tensor) -> Arrangement:
        """Interleave a batch of samples for training.

        Args:
            num_tokens: [B] text tokens of each sample, at least 1.
            num_frames: [B] frames of each sample, at least 1.

        Returns:
            The index tensors, on the device of the arguments.
        """
        device = num_tokens.device
        longest_text, longest_speech = int(num_tokens.max()), int(num_frames.max())
        token = torch.arange(longest_text, device=device)[None]  # [1, L]
        frame = torch.arange(longest_speech + 1, device=device)[None]  # [1, T + 1]
        text_total, frame_total = num_tokens[:, None], num_frames[:, None]  # [B, 1]
        if self.text_chunk is None or self.speech_chunk is None:
            frames_before_token = torch.zeros_like(token).expand(len(num_tokens), -1)
            tokens_before_frame = text_total.expand(-1, longest_speech + 1)
        else:
            frames_before_token = torch.minimum(
                frame_total, self.speech_chunk * (token // self.text_chunk)
            )
            tokens_before_frame = torch.minimum(
                text_total, self.text_chunk * (frame // self.speech_chunk + 1)
            )
        token_position = token + frames_before_token  # [B, L]
        frame_position = frame + tokens_before_frame  # [B, T + 1]

        length = num_tokens + num_frames
        longest = int(length.max())
        # Padding inputs all land on one spare position behind the sequence, which is cut off.
        source = torch.zeros(len(num_tokens), longest + 1, dtype=torch.long, device=device)
        token_slot = token_position.masked_fill(token >= text_total, longest)
        frame_slot = frame_position.masked_fill(frame >= frame_total, longest)[:, :-1]
        source.scatter_(1, token_slot, token.expand_as(token_slot))
        source.scatter_(1, frame_slot, (longest_text + frame[:, :-1]).expand_as(frame_slot))

        # The stop label sits on the last frame itself, even if unread text would follow it.
        after_last = frame_position.gather(1, frame_total - 1) + 1
        predictor = torch.where(frame == frame_total, after_last, frame_position) - 1
        predicts = frame <= frame_total
        return Arrangement(
            source=source[:, :longest],
            length=length,
            predictor=predictor.masked_fill(~predicts, 0),
            predicts=predicts,
        )
