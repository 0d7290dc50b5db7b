"""Guided attention: one attention head learns to attend to the token that is being spoken.

The relation of text and speech is learned late from the score alone, because another word changes
it by a few percent only. Where the times of words are known (`sled align`), one head of one layer
learns by cross-entropy to attend to the token of the next frame, so that the model learns to read
much sooner. Attention is guided similarly by Tachibana et al. 2018, "Efficiently trainable
text-to-speech system based on deep convolutional networks with guided attention". The model gets no
further weights.

Shapes: B samples, L text tokens, T frames; P positions of a whole batch, padding left out; A heads,
d head width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sled.model.layout import Arrangement

# In place of minus infinity, whose gradients would be NaN at padding.
_NEVER = -1e9


@dataclass(frozen=True)
class SpokenTokens:
    """The token that each frame of a batch belongs to.

    Attributes:
        index: [B, T] int64 index in the text, `<s>` included; -1 where it is not known.
        layer: The layer whose first attention head is guided.
    """

    index: Tensor
    layer: int


def guided_attention_loss(
    index: Tensor,
    query: Tensor,
    key: Tensor,
    arrangement: Arrangement,
    token_mask: Tensor,
    frame_mask: Tensor,
    first: int = 1,
) -> Tensor:
    """Compute the mean of -log p over all frames, where frames of unknown tokens count as 0.

    p is the attention of the first head, at the position that predicts the frame, to the right
    token, as a share of its attention to all text read so far.

    Args:
        index: [B, T] as in `SpokenTokens`.
        query: [P, A, d] rotated queries of the layer.
        key: [P, A, d] rotated keys of the layer; fewer heads if they are grouped.
        arrangement: How the batch is arranged.
        token_mask: [B, L] 1 at real tokens.
        frame_mask: [B, T] 1 at real frames.
        first: Index of the first token that can be said: `<s>` cannot.

    Returns:
        A scalar.
    """
    tokens, frames = token_mask.bool(), frame_mask.bool()
    source = arrangement.source
    # Positions of all tokens, then of all frames.
    position = torch.empty_like(source)
    position[source] = torch.arange(len(source), device=source.device)
    token_at = source.new_zeros(tokens.shape).masked_scatter(tokens, position)
    predictor = arrangement.predictor[~arrangement.is_stop]
    frame_at = source.new_zeros(frames.shape).masked_scatter(frames, predictor)

    weights = torch.einsum("btd,bld->btl", query[frame_at, 0], key[token_at, 0]).float()
    weights = weights / query.shape[-1] ** 0.5
    read = tokens[:, None] & (token_at[:, None] <= frame_at[..., None])  # [B, T, L]
    # A dropped text is the single token </s>, with the index of <s>.
    right = index.clamp(0, tokens.shape[1] - 1)[..., None]
    known = frames & (index >= first) & read.gather(-1, right).squeeze(-1)
    share = weights.masked_fill(~read, _NEVER).log_softmax(-1)
    surprise = -share.gather(-1, right).squeeze(-1)
    loss: Tensor = surprise.masked_fill(~known, 0).sum() / frames.sum()
    return loss
