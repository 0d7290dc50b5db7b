"""The language model of CosyVoice (Du et al. 2024): a text encoder, and a decoder of ids.

A sequence is a start vector, a speaker vector if there is one, the encoded text, a vector that
begins speech, and speech. The text encoder is causal: the code of a token depends on the tokens
before it.

Shapes: L text tokens, E width of inputs, H hidden width, S scored ids; see `sled.model.tokens.lm`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self, override

from sled.files.published_config import configurations_in, part_of, token_rate_of
from sled.model.config import Architecture
from sled.model.ids import SpeechIds
from sled.model.tokens.lm import BEGIN_SPEECH, START, SpeechEmbeddingLM
from sled.model.tokens.relative_attention import (
    THETA,
    ConformerLayer,
    RelativeStack,
    StackSizes,
    TransformerLayer,
)

KIND = "TransformerLM"
SPEAKER = "speaker"
# Of the published variant with 25 instead of 50 speech tokens per second.
_TEXT_TOKENS_AT_25_HZ = 60_515
# More than text of 200 tokens and speech of 20 ids for each.
MAX_POSITIONS = 8192


@dataclass(frozen=True, kw_only=True)
class CosyVoiceSizes:
    """The sizes of the model.

    Attributes:
        text_token_size: Number of text tokens.
        speech_token_size: Number of speech tokens.
        spk_embed_dim: Width of a speaker vector.
        text_encoder: Sizes of the text encoder.
        llm: Sizes of the decoder; its inputs have width E.
        frame_rate: Speech tokens per second.
    """

    text_token_size: int
    speech_token_size: int
    spk_embed_dim: int
    text_encoder: StackSizes
    llm: StackSizes
    frame_rate: float = 50.0

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `config.json`."""
        encoder, decoder = asdict(self.text_encoder), asdict(self.llm)
        return {
            "model_type": KIND,
            "kind": KIND,
            "text_token_size": self.text_token_size,
            "speech_token_size": self.speech_token_size,
            "spk_embed_dim": self.spk_embed_dim,
            "text_encoder_input_size": encoder.pop("input_size"),
            "text_encoder": encoder,
            "llm_input_size": decoder.pop("input_size"),
            "llm_output_size": decoder.pop("output_size"),
            "llm": decoder,
            "frame_rate": self.frame_rate,
        }

    @classmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> CosyVoiceSizes:
        """Read the content of `config.json`."""
        encoder, decoder = flat["text_encoder"], flat["llm"]

        def layers(given: Mapping[str, Any]) -> dict[str, Any]:
            names = ("attention_heads", "linear_units", "num_blocks")
            dropout = ("dropout_rate", "positional_dropout_rate", "attention_dropout_rate")
            return {name: given[name] for name in (*names, *(set(dropout) & given.keys()))}

        return cls(
            text_token_size=flat["text_token_size"],
            speech_token_size=flat["speech_token_size"],
            spk_embed_dim=flat["spk_embed_dim"],
            text_encoder=StackSizes(
                input_size=flat["text_encoder_input_size"],
                output_size=encoder["output_size"],
                **layers(encoder),
            ),
            llm=StackSizes(
                input_size=flat["llm_input_size"],
                output_size=flat["llm_output_size"],
                **layers(decoder),
            ),
            frame_rate=flat.get("frame_rate", cls.frame_rate),
        )


def usual_rate(text_token_size: int) -> float:
    """Speech tokens per second of the published model with so many text tokens."""
    return 25.0 if text_token_size == _TEXT_TOKENS_AT_25_HZ else 50.0


class CosyVoiceLM(SpeechEmbeddingLM):
    """The model. Attributes have the published tensor names.

    Args:
        sizes: Its sizes.
    """

    encodes_text = True
    takes_speaker = True

    def __init__(self, sizes: CosyVoiceSizes) -> None:
        decoder, encoder = sizes.llm, sizes.text_encoder
        architecture = Architecture(
            vocab_size=sizes.text_token_size,
            hidden_size=decoder.input_size,
            intermediate_size=decoder.linear_units,
            num_hidden_layers=decoder.num_blocks,
            num_attention_heads=decoder.attention_heads,
            head_dim=decoder.output_size // decoder.attention_heads,
            max_position_embeddings=MAX_POSITIONS,
            rope_theta=THETA,
            vae_embed_dim=sizes.speech_token_size,
            bos_token_id=None,
            eos_token_id=sizes.text_token_size,
            frame_rate=sizes.frame_rate,
            head="token",
            conditions={SPEAKER: sizes.spk_embed_dim},
        )
        ids = SpeechIds(sizes.speech_token_size, sizes.speech_token_size + 1)
        super().__init__(architecture, ids, sizes.to_dict())
        self.sizes = sizes
        self.text_embedding = nn.Embedding(sizes.text_token_size, encoder.input_size)
        self.text_encoder = RelativeStack(encoder, ConformerLayer, rectify=False)
        self.text_encoder_affine_layer = nn.Linear(encoder.output_size, decoder.input_size)
        self.llm_embedding = nn.Embedding(2, decoder.input_size)
        self.llm = RelativeStack(decoder, TransformerLayer, rectify=True)
        self.llm_decoder = nn.Linear(decoder.output_size, ids.scored)
        self.speech_embedding = nn.Embedding(sizes.speech_token_size, decoder.input_size)
        self.spk_embed_affine_layer = nn.Linear(sizes.spk_embed_dim, decoder.input_size)

    @override
    @classmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> Self:
        return cls(CosyVoiceSizes.from_dict(flat))

    @override
    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor], folder: Path) -> dict[str, Any]:
        def stack(name: str) -> dict[str, int]:
            of_layers = f"{name}.encoders."
            return {
                "attention_heads": len(weights[f"{of_layers}0.self_attn.pos_bias_u"]),
                "linear_units": len(weights[f"{of_layers}0.feed_forward.w_1.bias"]),
                "num_blocks": len({k.split(".")[2] for k in weights if k.startswith(of_layers)}),
            }

        output_size, input_size = weights["llm.embed.out.0.weight"].shape
        encoder_size, text_size = weights["text_encoder.embed.out.0.weight"].shape
        num_text = len(weights["text_embedding.weight"])
        configs = configurations_in(folder)
        own = (one for one in configs if part_of(one, "llm", KIND) is not None)
        told = next(filter(None, map(token_rate_of, own)), None)
        return {
            "text_token_size": num_text,
            "frame_rate": told or usual_rate(num_text),
            "speech_token_size": len(weights["speech_embedding.weight"]),
            "spk_embed_dim": weights["spk_embed_affine_layer.weight"].shape[1],
            "text_encoder_input_size": text_size,
            "text_encoder": {"output_size": encoder_size, **stack("text_encoder")},
            "llm_input_size": input_size,
            "llm_output_size": output_size,
            "llm": stack("llm"),
        }

    @override
    def embed_text(self, token_ids: Tensor, past: Sequence[int] = ()) -> Tensor:
        begins = token_ids == self.config.architecture.eos_token_id
        embeddings = self.llm_embedding.weight[BEGIN_SPEECH].repeat(*token_ids.shape, 1)
        if begins.all():
            return embeddings
        text = torch.cat((torch.tensor(past, dtype=torch.long).to(token_ids), token_ids[~begins]))
        embeddings[~begins] = self.encode(text)[len(past) :].to(embeddings)
        return embeddings

    def encode(self, text: Tensor) -> Tensor:
        """Return the inputs [L, E] of a whole text [L]."""
        inputs: Tensor = self.text_encoder_affine_layer(self.text_states(text))
        return inputs

    def text_states(self, text: Tensor) -> Tensor:
        """Return the states [L, width of the encoder] of a whole text [L]."""
        inputs = self.text_embedding(text)
        states: Tensor = self.text_encoder(inputs, self.text_encoder.pack([len(text)], inputs))
        return states

    @override
    def embed_conditions(self, conditions: Mapping[str, Tensor]) -> Tensor:
        if conditions.keys() - {SPEAKER}:
            given = ", ".join(conditions)
            raise ValueError(f"the model takes the condition {SPEAKER} or none; {given} was given")
        start = self.llm_embedding.weight[START, None]
        if not conditions:
            # Data parallelism waits for gradients of all weights, also of those of the speaker.
            unused = sum(weight.sum() for weight in self.spk_embed_affine_layer.parameters())
            return start + 0 * unused if self.training else start
        speaker = F.normalize(conditions[SPEAKER].float(), dim=-1).to(start)
        return torch.cat((start, self.spk_embed_affine_layer(speaker)[None]))

    @property
    @override
    def decoder(self) -> RelativeStack:
        return self.llm
