"""What a step of the decoder returns.

Shapes: B utterances; `...` is the shape of a unit.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sled.decoding.utterance import Utterance


@dataclass(frozen=True, eq=False)
class Step:
    """The result of one step.

    Attributes:
        utterances: The B utterances that wrote a frame.
        units: [B, ...] the units of these frames.
        stopped: B flags: the utterance stopped *at* this frame, which is not speech.
        exhausted: B flags: the utterance was cut *after* this frame.
    """

    utterances: list[Utterance]
    units: Tensor
    stopped: list[bool]
    exhausted: list[bool]
