"""How many frames are gathered before they become audio: few at first, then more and more.

Small chunks are heard early, large ones cost less: every call of the codec, and every hand-over to
a player, has a price of its own. So the first chunk is the smallest that makes a sound, and each
one after it is larger, up to a size at which the price of a call no longer matters. Beyond that,
larger chunks would only make a cancelled session compute in vain for longer.

How fast may they grow? Let a frame play for p seconds and take r p seconds to generate (r is the
real-time factor), and let a call take as long as h frames play. While a chunk of k frames plays,
the next one, of k', is made, which takes (r k' + h) p. It is in time if

    k' <= (k - h) / r

which is all there is to it: a chunk that plays on is followed by one that was made meanwhile, and
so without end. At r = 0.5, chunks may double if calls are cheap; at r = 0.9 they must hardly grow.
No k' of at least k is in time if k < h / (1 - r): then even chunks of equal size fall behind, and
the first one has to be larger.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class ChunkRamp:
    """Chunk sizes in frames.

    Attributes:
        first_frames: Frames in the first chunk, besides those that the codec waits for.
        growth: At most so many times its predecessor a chunk is.
        max_frames: At most so large it is, the first one aside.
    """

    first_frames: int = 1
    growth: float = 2.0
    max_frames: int = 32

    def __post_init__(self) -> None:
        if self.first_frames < 1 or self.max_frames < 1 or not self.growth >= 1:
            raise ValueError(f"{self}: chunks need at least 1 frame, and must not shrink")

    def first(self, lookahead_frames: int) -> int:
        """Size of the first chunk.

        Args:
            lookahead_frames: `StreamingDecoder.lookahead_frames`. They delay the first sound, but
                come out with it, so they count as part of the chunk that plays.
        """
        return lookahead_frames + self.first_frames

    def after(self, size: int, real_time_factor: float = 0.0, call_frames: float = 0.0) -> int:
        """Size of the chunk that follows one of `size` frames.

        Args:
            size: Of the chunk that plays meanwhile.
            real_time_factor: Time to generate a frame over the time it plays. 0: not known.
            call_frames: Time of a call, in frames that play as long.
        """
        growth = self.growth
        if real_time_factor > 0:
            growth = min(growth, (1 - call_frames / size) / real_time_factor)
        # Too late is too late: chunks that shrink would fall behind further.
        return int(min(self.max_frames, max(size, size * growth)))

    def sizes(
        self, lookahead_frames: int, real_time_factor: float = 0.0, call_frames: float = 0.0
    ) -> Iterator[int]:
        """Sizes of all chunks, without end; arguments as for `first` and `after`."""
        size = self.first(lookahead_frames)
        while True:
            yield size
            size = self.after(size, real_time_factor, call_frames)
