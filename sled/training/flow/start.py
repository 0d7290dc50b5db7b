"""Where the training of a new flow begins: means of mel bands, and similar tokens alike.

The velocity that a flow learns is a mel spectrogram minus noise. Its mean is that of each mel band,
which is far from 0, as the spectrograms are not normalised. A new network would spend its first
steps on these means.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from sled.codec.flow.base import SpeechFlow
from sled.codec.flow.cosyvoice2 import CosyVoice2Flow
from sled.model.tokens.digits import FSQ_SIZE, begin_with_digits


@torch.no_grad()
def fit_output(flow: SpeechFlow, mels: Iterable[Tensor]) -> None:
    """Let a new flow predict the mean of each mel band, and deviate in units of its deviation.

    Args:
        flow: A flow with new weights, of which the output layer is changed.
        mels: Mel spectrograms [M, F] of some recordings.

    Raises:
        ValueError: If there are fewer than two frames, or the bands are not those of the flow.
    """
    frames = torch.cat([one.mT for one in mels] or [torch.zeros(0, flow.num_mels)])
    if len(frames) < 2 or frames.shape[1] != flow.num_mels:
        raise ValueError(
            f"mel spectrograms are {list(frames.shape)}: give some of {flow.num_mels} bands"
        )
    layer = flow.output_layer
    deviation, mean = torch.std_mean(frames.to(layer.weight), 0)
    layer.weight.mul_(deviation.view(-1, *[1] * (layer.weight.ndim - 1)))
    assert layer.bias is not None
    layer.bias.copy_(mean)


def fit_tokens(flow: CosyVoice2Flow) -> None:
    """Let the embeddings of a new flow depend on the digits of the tokens, if they have digits.

    Args:
        flow: A flow with new weights, of which the table of embeddings is changed.
    """
    if flow.vocab_size == FSQ_SIZE:
        begin_with_digits(flow.input_embedding.weight)
