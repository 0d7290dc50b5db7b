"""A chain of CosyVoice2's form with random weights: language model, flow and vocoder."""

from __future__ import annotations

import torch

from sled.benchmarks.flow import make_networks
from sled.bundled import BUNDLED_MODELS
from sled.codec.token_codec.files import TokenNetworks
from sled.codec.token_codec.model import TokenCodec
from sled.model.tokens.cosyvoice2 import CosyVoice2LM, CosyVoice2Sizes
from sled.text.tokenizer import TextTokenizer
from sled.tts import TTS

# Of like size as the small flow and vocoder.
SMALL = CosyVoice2Sizes(
    vocab_size=512,
    hidden_size=256,
    intermediate_size=688,
    num_hidden_layers=6,
    num_attention_heads=4,
    num_key_value_heads=4,
)


def chain_tts(size: str, device: torch.device) -> TTS:
    """Make a chain of the size "published" or "debug", in float32.

    Raises:
        ValueError: For another size.
    """
    if size not in ("published", "debug"):
        raise ValueError(f"--size {size}: choose published or debug for --family cosyvoice2")
    torch.manual_seed(0)
    is_published = size == "published"
    model = CosyVoice2LM(CosyVoice2Sizes() if is_published else SMALL)
    model.initialize()
    networks = TokenNetworks(*make_networks(published=is_published))
    tokenizer = TextTokenizer.from_pretrained(
        BUNDLED_MODELS["digits"].folder, None, None, model.config.architecture.eos_token_id
    )
    return TTS(model.to(device).eval(), tokenizer, TokenCodec(networks, device))
