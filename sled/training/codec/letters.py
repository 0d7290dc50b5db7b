"""The letters that are said in a training segment, for a head that reads them off the latents."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from lhotse.cut import Cut
from torch import Tensor, nn

from sled.data.alignment.spoken_times import letter_ends, spoken_letters

COLUMNS_PER_S = 40
"""Letters that the head can write in a second, at least; fast speech has 20, and equal neighbours
need a blank between them."""


class LetterTimes:
    """Numbers and times of the letters of an aligned corpus; in a text of phonemes they are sounds.

    Args:
        cuts: the corpus. Cuts without times count as cuts without letters.

    Attributes:
        alphabet: the letters; letter i has the number i + 1, and 0 is for none.

    Raises:
        ValueError: if no cut has times.
    """

    def __init__(self, cuts: Sequence[Cut]) -> None:
        letters = [spoken_letters(cut) for cut in cuts]
        self.alphabet = sorted({letter for each in letters for letter in each})
        if not self.alphabet:
            raise ValueError(
                "ctc_weight needs the times of letters, which the training manifest lacks: name "
                "one that `sled align` has written"
            )
        number = {letter: i + 1 for i, letter in enumerate(self.alphabet)}
        self._numbers = [torch.tensor([number[x] for x in each]).long() for each in letters]
        ends = [torch.tensor(letter_ends(cut) or []) for cut in cuts]
        # The middle of each letter, which begins where the one before it ends.
        self._middles = [(one + F.pad(one, (1, 0))[:-1]) / 2 for one in ends]

    def between(self, index: int, start_s: float, end_s: float) -> Tensor:
        """Numbers of the letters of a cut whose middles lie in a span of it, int64 [L]."""
        middles = self._middles[index]
        return self._numbers[index][(middles >= start_s) & (middles < end_s)]


class LetterHead(nn.Module):
    """Reads letters off latents, trained by connectionist temporal classification.

    Args:
        latent_size: width of a latent.
        letters: size of the alphabet.
        frame_rate: latents per second.
        hidden: channels inside.
    """

    def __init__(
        self, latent_size: int, letters: int, frame_rate: float, hidden: int = 128
    ) -> None:
        super().__init__()
        self.columns = max(1, -(-COLUMNS_PER_S // int(frame_rate)))
        self.conv = nn.Conv1d(latent_size, hidden, 3, padding=1)
        self.linear = nn.Linear(hidden, self.columns * (letters + 1))

    def forward(self, latents: Tensor, letters: Sequence[Tensor]) -> Tensor:
        """Loss per letter of latents [B, D, T] whose letters are B times int64 [L]."""
        batch, _, frames = latents.shape
        hidden = F.gelu(self.conv(latents)).mT
        scores = self.linear(hidden).reshape(batch, frames * self.columns, -1)
        return F.ctc_loss(
            scores.float().log_softmax(-1).transpose(0, 1),
            torch.cat(list(letters)).to(latents.device),
            torch.full((batch,), frames * self.columns),
            torch.tensor([len(each) for each in letters]),
            zero_infinity=True,  # more letters than columns: nothing can be learned
        )
