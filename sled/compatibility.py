"""What must fit together: a model, the tokenizer of its texts, and the codec of its latents."""

from sled.codec import Codec
from sled.model.config import Config
from sled.text.tokenizer import TextTokenizer


def check_parts(config: Config, tokenizer: TextTokenizer, codec: Codec) -> None:
    """Make sure that a model was made for a tokenizer and a codec.

    Raises:
        ValueError: If it was not.
    """
    architecture = config.architecture
    shape, rate = (architecture.vae_embed_dim,), architecture.frame_rate
    if (codec.unit_shape, codec.frame_rate) != (shape, rate):
        raise ValueError(
            f"the codec has units of shape {list(codec.unit_shape)} at {codec.frame_rate:g} a "
            f"second, the model units of shape {list(shape)} at {rate:g}: "
            "use the codec the model was trained with"
        )
    if tokenizer.vocab_size > architecture.vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, the model "
            f"{architecture.vocab_size}: use the tokenizer the model was trained with"
        )
    if tokenizer.normalization != architecture.text_normalization:
        raise ValueError(
            f"the tokenizer normalises texts by {tokenizer.normalization!r}, the model's texts "
            f"were by {architecture.text_normalization!r}: load the tokenizer with that one"
        )
