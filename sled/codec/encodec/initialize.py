"""New Encodec models with random weights."""

from __future__ import annotations

from sled.codec.encodec.config import EncodecConfig
from sled.codec.encodec.network import Encodec


def new_encodec(config: EncodecConfig) -> Encodec:
    """A model with random weights, and with all codebook entries at 0.

    The weights are drawn by transformers, from torch's global generator: a seed thus gives the
    same model as `EncodecModel` there.
    """
    import transformers

    values = config.to_dict()
    drawn = transformers.EncodecModel(transformers.EncodecConfig(**values))
    model = Encodec(config)
    model.load_state_dict(drawn.state_dict())
    return model
