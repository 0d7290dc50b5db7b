"""One attention head is taught which word is being said: then a model learns to read much sooner.

What the text has to do with speech is found out late, for the score alone hardly tells: another
word changes it by a few percent. Where word times are known (`scripts/align.py`), one head of one
layer learns by cross-entropy to look at the tokens of the word that the next frame belongs to, as
attention is guided in other systems (Tachibana et al. 2018, "Efficiently trainable text-to-speech
system based on deep convolutional networks with guided attention"). Nothing is added to the model.

Shapes: B samples, L text tokens, T frames; P positions of a whole batch, padding left out; A heads,
d head width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sled.layout import Arrangement

# Stands for minus infinity, of which differences would be no number.
_NEVER = -1e9


@dataclass(frozen=True)
class WordPlaces:
    """Which word of its text each token and each frame of a batch belongs to, counted from 0.

    After the last word comes silence, which belongs to `</s>`: both have the number of words.

    Attributes:
        token_words: [B, L] -1 for what belongs to none: `<s>` and padding.
        frame_words: [B, T] -1 where it is not known.
        layer: Whose first attention head is taught.
    """

    token_words: Tensor
    frame_words: Tensor
    layer: int

    def loss(
        self,
        query: Tensor,
        key: Tensor,
        arrangement: Arrangement,
        token_mask: Tensor,
        frame_mask: Tensor,
    ) -> Tensor:
        """Mean over all frames of -log p, a scalar; frames of which nothing is known count as 0.

        p is the share that the tokens of the right word have in the first head's attention, at the
        position that predicts the frame, of all that goes to text read so far.

        Args:
            query, key: [P, A, d], rotated, of the layer; fewer key heads if they are grouped.
            arrangement: Of the batch.
            token_mask, frame_mask: [B, L] and [B, T], 1 where there is anything.
        """
        tokens, frames = token_mask.bool(), frame_mask.bool()
        place = torch.empty_like(arrangement.source)  # of each token, then of each frame
        place[arrangement.source] = torch.arange(len(place), device=place.device)
        token_at = place.new_zeros(tokens.shape).masked_scatter(tokens, place)
        predictor = arrangement.predictor[~arrangement.is_stop]
        frame_at = place.new_zeros(frames.shape).masked_scatter(frames, predictor)

        read = tokens[:, None] & (token_at[:, None] <= frame_at[..., None])  # [B, T, L]
        right = read & (self.token_words[:, None] == self.frame_words[..., None])
        # A sample whose text was dropped has no token that is right.
        known = right.any(-1) & frames & (self.frame_words >= 0)
        weights = torch.einsum("btd,bld->btl", query[frame_at, 0], key[token_at, 0]).float()
        weights = weights / query.shape[-1] ** 0.5
        surprise = weights.masked_fill(~read, _NEVER).logsumexp(-1)
        surprise = surprise - weights.masked_fill(~right, _NEVER).logsumexp(-1)
        return surprise.masked_fill(~known, 0).sum() / frames.sum()
