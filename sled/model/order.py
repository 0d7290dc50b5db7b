"""How text tokens and speech frames are interleaved in one sequence.

One closed form serves both layouts. With text chunks of n tokens and speech chunks of m frames, a
sample of L tokens and T frames has `min(L, n * (t // m + 1))` tokens before frame t, and
`min(T, m * (j // n))` frames before token j. The offline layout is n = infinity: all tokens come
before all frames. A sample with a dropped text is a sample of one token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Order:
    """The order of a sequence: offline, or alternating chunks of text and speech.

    Attributes:
        text_chunk: n, text tokens per chunk. None: offline.
        speech_chunk: m, frames per chunk. None: offline.
    """

    text_chunk: int | None = None
    speech_chunk: int | None = None

    def __post_init__(self) -> None:
        if (self.text_chunk is None) != (self.speech_chunk is None):
            raise ValueError(f"{self}: give both chunk sizes, or neither for the offline layout")
        if self.text_chunk is not None and min(self.text_chunk, self.speech_chunk or 0) < 1:
            raise ValueError(f"{self}: chunk sizes must be at least 1")

    @property
    def is_offline(self) -> bool:
        """Whether all text comes before all speech."""
        return self.text_chunk is None

    def tokens_before(self, frame: int, num_tokens: float) -> float:
        """Return the number of text tokens before a frame.

        Args:
            frame: Index of the frame.
            num_tokens: Tokens of the whole text; infinite if its end is not known yet.
        """
        if self.text_chunk is None or self.speech_chunk is None:
            return num_tokens
        return min(num_tokens, self.text_chunk * (frame // self.speech_chunk + 1))

    def frames_before(self, token: int) -> int:
        """Return the number of frames before a text token, if speech goes on behind it.

        Args:
            token: Index of the token in the text.
        """
        if self.text_chunk is None or self.speech_chunk is None:
            return 0
        return self.speech_chunk * (token // self.text_chunk)

    @property
    def tokens_per_frame(self) -> float:
        """Text tokens per frame while there is text; 0 in the offline layout."""
        if self.text_chunk is None or self.speech_chunk is None:
            return 0.0
        return self.text_chunk / self.speech_chunk

    def frames_in_chunk_after(self, frame: int) -> float:
        """Return the frames from this one to the end of its chunk; infinite if offline."""
        if self.speech_chunk is None:
            return math.inf
        return self.speech_chunk - frame % self.speech_chunk
