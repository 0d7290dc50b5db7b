"""One attention head is taught which token is being said: then a model learns to read much sooner.

What the text has to do with speech is found out late, for the score alone hardly tells: another
word changes it by a few percent. Where word times are known (`sled align`), one head of one
layer learns by cross-entropy to look at the token that the next frame belongs to, as attention is
guided in other systems (Tachibana et al. 2018, "Efficiently trainable text-to-speech system based
on deep convolutional networks with guided attention"). Nothing is added to the model.

Shapes: B samples, L text tokens, T frames; P positions of a whole batch, padding left out; A heads,
d head width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sled.model.layout import Arrangement

# Stands for minus infinity, of which gradients would be no numbers at padding.
_NEVER = -1e9


@dataclass(frozen=True)
class SpokenTokens:
    """Which token of its text each frame of a batch belongs to.

    Attributes:
        index: [B, T] int64, counted from `<s>`, which is 0; -1 where it is not known.
        layer: Whose first attention head is taught.
    """

    index: Tensor
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

        p is the share that the right token has in the first head's attention, at the position that
        predicts the frame, of all that goes to text read so far.

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

        weights = torch.einsum("btd,bld->btl", query[frame_at, 0], key[token_at, 0]).float()
        weights = weights / query.shape[-1] ** 0.5
        read = tokens[:, None] & (token_at[:, None] <= frame_at[..., None])  # [B, T, L]
        # Of a sample whose text was dropped, only </s> is left, in the place of <s>.
        right = self.index.clamp(0, tokens.shape[1] - 1)[..., None]
        known = frames & (self.index > 0) & read.gather(-1, right).squeeze(-1)
        share = weights.masked_fill(~read, _NEVER).log_softmax(-1)
        surprise = -share.gather(-1, right).squeeze(-1)
        return surprise.masked_fill(~known, 0).sum() / frames.sum()
