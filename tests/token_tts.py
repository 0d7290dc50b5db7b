"""A tiny chain of speech tokens that speaks, clones, follows instructions and converts."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch

from sled import TTS
from sled.codec.speaker.encoder import NetworkSpeakerEncoder
from sled.codec.speaker.network import SpeakerNetwork, SpeakerSizes
from sled.codec.speech_tokens.files import load_speech_tokenizer
from sled.codec.token_codec.model import TokenCodec
from sled.model.tokens.cosyvoice2 import CosyVoice2LM
from tests.codec.token_codec.models import token_networks
from tests.debug import GOLDENS, randn
from tests.tokens import debug_cosyvoice2, debug_token_tokenizer, with_random_weights

# Codes of the speech tokenizer.
CODES = 81


@cache
def chain_model() -> CosyVoice2LM:
    sizes = replace(debug_cosyvoice2().sizes, speech_token_size=CODES, frame_rate=25.0)
    model = with_random_weights(CosyVoice2LM(sizes), 3)
    assert isinstance(model, CosyVoice2LM)
    model.config.speaking.max_frames_per_token = 6.0  # otherwise it speaks for long
    return model


@cache
def chain_codec() -> TokenCodec:
    """It has the speakers ann and ben."""
    torch.manual_seed(0)
    sizes = SpeakerSizes(
        embedding_size=16, growth_rate=4, bn_size=2, init_channels=8, block_layers=(2, 1, 1)
    )
    networks = replace(
        token_networks(),
        tokenizer=load_speech_tokenizer(GOLDENS / "token-data" / "s3_v1_25hz"),
        speaker_encoder=NetworkSpeakerEncoder(SpeakerNetwork(sizes)),
        speakers={"ann": randn(16, seed=1), "ben": randn(16, seed=2)},
    )
    return TokenCodec(networks)


def chain_tts() -> TTS:
    return TTS(chain_model(), debug_token_tokenizer(chain_model()), chain_codec())
