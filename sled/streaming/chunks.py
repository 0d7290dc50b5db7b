"""Number of frames per chunk of audio: small at first, then growing.

Small chunks are heard early. Large chunks cost less, because each call of the codec and each
transfer to a player has a fixed cost. So the first chunk is the smallest that gives audio, and each
later chunk is larger, up to a size at which the fixed cost is negligible. Larger chunks would only
waste more computation when a session is cancelled.

The growth is limited by the speed of generation. Let a frame play for p seconds and take r p
seconds to generate (r is the real-time factor), and let the fixed cost of a call be h p seconds.
While a chunk of k frames plays, the next one with k' frames is generated in (r k' + h) p seconds.
It is in time if

    k' <= (k - h) / r

If this holds for each pair of chunks, playback never stalls. At r = 0.5 and a small h, chunks may
double; at r = 0.9 they may hardly grow. If k < h / (1 - r), no chunk with k' >= k is in time: even
chunks of equal size fall behind, and the first chunk must be larger.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class ChunkRamp:
    """Chunk sizes in frames.

    Attributes:
        first_frames: Frames in the first chunk, besides the lookahead of the codec.
        growth: Largest ratio of a chunk's size to the size of the one before it.
        max_frames: Largest chunk, apart from the first.
    """

    first_frames: int = 1
    growth: float = 2.0
    max_frames: int = 32

    def __post_init__(self) -> None:
        if self.first_frames < 1 or self.max_frames < 1 or not self.growth >= 1:
            raise ValueError(f"{self}: chunks need at least 1 frame, and must not shrink")

    def first(self, lookahead_frames: int) -> int:
        """Return the size of the first chunk.

        Args:
            lookahead_frames: `StreamingDecoder.lookahead_frames`. The first audio needs them, so
                they count as part of the chunk.
        """
        return lookahead_frames + self.first_frames

    def after(self, size: int, real_time_factor: float = 0.0, call_frames: float = 0.0) -> int:
        """Return the size of the chunk that follows one of `size` frames.

        Args:
            size: Frames of the chunk before it.
            real_time_factor: Time to generate a frame divided by its duration. 0: unknown.
            call_frames: Fixed cost of a call, in durations of a frame.
        """
        growth = self.growth
        if real_time_factor > 0:
            growth = min(growth, (1 - call_frames / size) / real_time_factor)
        # Chunks never shrink: smaller ones would fall behind even further.
        return int(min(self.max_frames, max(size, size * growth)))

    def sizes(
        self, lookahead_frames: int, real_time_factor: float = 0.0, call_frames: float = 0.0
    ) -> Iterator[int]:
        """Yield the sizes of all chunks, endlessly; arguments as for `first` and `after`."""
        size = self.first(lookahead_frames)
        while True:
            yield size
            size = self.after(size, real_time_factor, call_frames)
