"""Layouts of models, and how they arrange the samples of a batch; see `sled.model.order`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sled.model.config import Config
from sled.model.order import Order


@dataclass(frozen=True)
class Arrangement:
    """Index tensors that interleave B samples without padding.

    The samples have N tokens, F frames and K conditions in all, each numbered through all samples.
    Their sequences are concatenated and have P = N + F + K positions.

    Attributes:
        source: [P] the input at each position: j for token j, N + f for frame f, and N + F + k for
            condition k.
        lengths: B lengths of the sequences.
        predictor: [F + B] positions whose hidden states predict the frames, sample by sample; the
            frames of each sample are followed by the position of its last frame, which predicts
            the stop.
        is_stop: [F + B] True at the stops.
        chunk_ends: Positions of the frames that fill a chunk of speech which text follows.
    """

    source: Tensor
    lengths: list[int]
    predictor: Tensor
    is_stop: Tensor
    chunk_ends: Tensor

    def to(self, device: torch.device) -> Arrangement:
        """Return the same on another device."""
        tensors = (self.source, self.predictor, self.is_stop, self.chunk_ends)
        source, *others = (tensor.to(device) for tensor in tensors)
        return Arrangement(source, self.lengths, *others)


@dataclass(frozen=True)
class Layout(Order):
    """An order as models have it, which arranges the samples of a batch; attributes as there."""

    @classmethod
    def from_config(cls, config: Config) -> Layout:
        """Return the layout in which a model speaks by default."""
        return cls(config.architecture.stream_n, config.architecture.stream_m)

    @classmethod
    def for_streaming(cls, config: Config) -> Layout:
        """Return a model's layout for text that comes in pieces; offline if it has none."""
        return cls(*(config.streaming_chunks or ()))

    def arrange(
        self, num_tokens: list[int], num_frames: list[int], num_conditions: int = 0
    ) -> Arrangement:
        """Interleave samples for training.

        Args:
            num_tokens: B numbers of text tokens, each at least 1.
            num_frames: B numbers of frames, each at least 1.
            num_conditions: C, the conditions at the start of each sequence.

        Returns:
            The index tensors, on the CPU.
        """
        token_total, frame_total = torch.tensor(num_tokens), torch.tensor(num_frames)
        length = num_conditions + token_total + frame_total
        first = length.cumsum(0) - length  # [B] first position of each sequence
        start = first + num_conditions
        owner, token = _number_through(token_total)  # [N]
        token_position = start[owner] + token + self._frames_before(token, frame_total[owner])
        owner, frame = _number_through(frame_total)  # [F]
        read = self._tokens_before(frame, token_total[owner])  # [F]
        frame_position = start[owner] + frame + read
        fills = read < token_total[owner]
        if self.speech_chunk is not None:
            fills &= (frame + 1) % self.speech_chunk == 0

        condition_position = (first[:, None] + torch.arange(num_conditions)).flatten()  # [B C]

        position = torch.cat((token_position, frame_position, condition_position))
        source = torch.empty_like(position)
        source[position] = torch.arange(len(position))

        # The stop is predicted at the last frame itself, even if unread text would follow it.
        stop = frame_total.cumsum(0) + torch.arange(len(num_frames))
        is_stop = torch.zeros(len(frame) + len(num_frames), dtype=torch.bool)
        is_stop[stop] = True
        predictor = torch.empty_like(is_stop, dtype=torch.long)
        predictor[~is_stop] = frame_position - 1
        predictor[is_stop] = frame_position[frame_total.cumsum(0) - 1]
        return Arrangement(source, length.tolist(), predictor, is_stop, frame_position[fills])

    def _frames_before(self, token: Tensor, frame_total: Tensor) -> Tensor:
        """Frames written before each token is read."""
        if self.text_chunk is None or self.speech_chunk is None:
            return torch.zeros_like(token)
        return torch.minimum(frame_total, self.speech_chunk * (token // self.text_chunk))

    def _tokens_before(self, frame: Tensor, token_total: Tensor) -> Tensor:
        """Tokens read before each frame is written: `tokens_before`, of many frames."""
        if self.text_chunk is None or self.speech_chunk is None:
            return token_total
        return torch.minimum(token_total, self.text_chunk * (frame // self.speech_chunk + 1))


def _number_through(counts: Tensor) -> tuple[Tensor, Tensor]:
    """For items sorted by group: the group of each item, and its number within the group."""
    owner = torch.repeat_interleave(torch.arange(len(counts)), counts)
    first = counts.cumsum(0) - counts
    return owner, torch.arange(len(owner)) - first[owner]
