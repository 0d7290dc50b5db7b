"""Which sound each frame of a cut belongs to, by its letters' times."""

from __future__ import annotations

import torch
from lhotse.cut import Cut
from torch import Tensor

from sled.codec import Codec
from sled.data.alignment.spoken_times import letter_ends, spoken_letters
from sled.data.cache.codes import cut_codes

_SILENCE = ""  # after the last letter


class SoundsOfFrames:
    """Takes cuts, and numbers the letters that occur in them; a text in phonemes has sounds.

    Args:
        codec: Whose frames; only its rates are kept.
    """

    def __init__(self, codec: Codec) -> None:
        self._frames_per_latent, self._frame_rate = codec.frames_per_latent, codec.frame_rate
        self._numbers: dict[str, int] = {}

    def __call__(self, cut: Cut) -> tuple[Tensor, Tensor]:
        """Codes [K, T] of a cut, and the sounds in the middles of the codec's frames.

        Returns:
            Codes as they are stored, and a number for each frame, T / frames per latent, rounded
            up; -1 where it is not known.
        """
        codes = cut_codes(cut)
        num_frames = -(-codes.shape[1] // self._frames_per_latent)
        ends = letter_ends(cut)
        if ends is None:
            return codes, torch.full((num_frames,), -1)
        names = [*spoken_letters(cut), _SILENCE]
        numbers = [self._numbers.setdefault(name, len(self._numbers)) for name in names]
        middles = (torch.arange(num_frames) + 0.5) / self._frame_rate
        over = torch.searchsorted(torch.tensor(ends), middles, right=True)
        return codes, torch.tensor(numbers)[over]
