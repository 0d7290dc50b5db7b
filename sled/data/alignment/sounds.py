"""The sound that is spoken in each frame of a cut, from the times of its letters."""

from __future__ import annotations

import torch
from lhotse.cut import Cut
from torch import Tensor

from sled.codec import Codec
from sled.data.alignment.spoken_times import letter_ends, spoken_letters
from sled.data.cache.codes import cut_codes

# Name of the silence after the last letter.
_SILENCE = ""


class SoundsOfFrames:
    """Numbers the letters that occur in cuts. In a text of phonemes the letters are sounds.

    Args:
        codec: Codec of the frames; only its rates are kept.
    """

    def __init__(self, codec: Codec) -> None:
        self._frames_per_unit, self._frame_rate = codec.frames_per_unit, codec.frame_rate
        self._numbers: dict[str, int] = {}

    def __call__(self, cut: Cut) -> tuple[Tensor, Tensor]:
        """Codes [K, T] of a cut, and the sound in the middle of each frame of the codec.

        Returns:
            The stored codes; and a number for each frame of the codec (T divided by the stored
            frames per frame of the codec, rounded up), -1 where the sound is unknown.
        """
        codes = cut_codes(cut)
        num_frames = -(-codes.shape[1] // self._frames_per_unit)
        ends = letter_ends(cut)
        if ends is None:
            return codes, torch.full((num_frames,), -1)
        names = [*spoken_letters(cut), _SILENCE]
        numbers = [self._numbers.setdefault(name, len(self._numbers)) for name in names]
        middles = (torch.arange(num_frames) + 0.5) / self._frame_rate
        over = torch.searchsorted(torch.tensor(ends), middles, right=True)
        return codes, torch.tensor(numbers)[over]
