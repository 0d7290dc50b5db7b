"""The language model of CosyVoice2 (Du et al. 2024): a Qwen2 decoder with speech embeddings.

A sequence is a start vector, then text and speech in the order of the layout. The vector that
begins speech counts as the last token of the text. There is no speaker vector: the voice comes from
a prompt. In the streaming layout the model says with an id, fill, that it needs more text; at the
end of a full chunk it always does.

Shapes: E = H hidden width, S scored ids; see `sled.model.tokens.lm`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self, override

from sled.files.json_object import read_json_object
from sled.model.backbone import Backbone
from sled.model.config import Architecture
from sled.model.ids import SpeechIds
from sled.model.layout import Layout
from sled.model.tokens.digits import FSQ_SIZE, begin_with_digits
from sled.model.tokens.lm import BEGIN_SPEECH, START, SpeechEmbeddingLM

KIND = "Qwen2LM"
# Where a published folder has the configuration of its text model.
TEXT_MODEL = Path("CosyVoice-BlankEN/config.json")
_HEAD_DIM = 64  # of the published model, if that file is missing
# Ids after those of speech: the end, one that is never used, and fill.
NUM_ENDING, FILL = 3, 2

# What is added to the vocabulary of Qwen2, in the order of the ids.
ADDED_TOKENS = (
    *("<|im_start|>", "<|im_end|>", "<|endofprompt|>", "[breath]", "<strong>", "</strong>"),
    *("[noise]", "[laughter]", "[cough]", "[clucking]", "[accent]", "[quick_breath]"),
    *("<laughter>", "</laughter>", "[hissing]", "[sigh]", "[vocalized-noise]", "[lipsmack]"),
    "[mn]",
)


@dataclass(frozen=True, kw_only=True)
class CosyVoice2Sizes:
    """The sizes of the model; defaults as published.

    Attributes:
        vocab_size: Number of text tokens.
        hidden_size: Width.
        intermediate_size: Width of the gated MLP.
        num_hidden_layers: Number of layers.
        num_attention_heads: Number of query heads.
        num_key_value_heads: Number of key and value heads.
        max_position_embeddings: Positions that a sequence may have.
        rope_theta: Base of the rotary frequencies.
        rms_norm_eps: Epsilon of the RMS norms.
        speech_token_size: Number of speech tokens.
        mix_ratio: Text tokens and speech tokens in a chunk of the streaming layout.
        frame_rate: Speech tokens per second.
        text_normalization: How texts are normalised first, see `sled.normalization`. None, as
            published: not at all.
    """

    vocab_size: int = 151_936
    hidden_size: int = 896
    intermediate_size: int = 4864
    num_hidden_layers: int = 24
    num_attention_heads: int = 14
    num_key_value_heads: int = 2
    max_position_embeddings: int = 32_768
    rope_theta: float = 1e6
    rms_norm_eps: float = 1e-6
    speech_token_size: int = 6561
    mix_ratio: tuple[int, int] = (5, 15)
    frame_rate: float = 25.0
    text_normalization: str | None = None

    def __post_init__(self) -> None:
        Layout(*self.mix_ratio)  # checks the ratio

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `config.json`."""
        flat = asdict(self)
        own = {name: flat.pop(name) for name in ("speech_token_size", "mix_ratio", "frame_rate")}
        own["mix_ratio"] = list(own["mix_ratio"])
        if (normalization := flat.pop("text_normalization")) is not None:
            own["text_normalization"] = normalization
        return {"model_type": KIND, "kind": KIND, "qwen2": flat, **own}

    @classmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> CosyVoice2Sizes:
        """Read the content of `config.json`; other keys of the text model are not used."""
        names = {one.name for one in fields(cls)}
        # Newer versions of transformers write the base of the frequencies there.
        newer = flat["qwen2"].get("rope_parameters") or {}
        given = {**newer, **flat["qwen2"], **flat}
        sizes = {name: value for name, value in given.items() if name in names}
        return cls(**{**sizes, "mix_ratio": tuple(given.get("mix_ratio", cls.mix_ratio))})


class CosyVoice2LM(SpeechEmbeddingLM):
    """The model. Attributes have the published tensor names, but for the prefix `llm.model`.

    Args:
        sizes: Its sizes.
    """

    ADDED_TOKENS = ADDED_TOKENS
    NAMES = {"model.": "llm.model.model."}  # noqa: RUF012
    UNUSED = {"llm.model.lm_head.weight": "llm.model.model.embed_tokens.weight"}  # noqa: RUF012

    def __init__(self, sizes: CosyVoice2Sizes) -> None:
        speech = sizes.speech_token_size
        architecture = Architecture(
            vocab_size=sizes.vocab_size,
            hidden_size=sizes.hidden_size,
            intermediate_size=sizes.intermediate_size,
            num_hidden_layers=sizes.num_hidden_layers,
            num_attention_heads=sizes.num_attention_heads,
            num_key_value_heads=sizes.num_key_value_heads,
            max_position_embeddings=sizes.max_position_embeddings,
            rope_theta=sizes.rope_theta,
            rms_norm_eps=sizes.rms_norm_eps,
            vae_embed_dim=speech,
            bos_token_id=None,
            eos_token_id=sizes.vocab_size,
            frame_rate=sizes.frame_rate,
            text_normalization=sizes.text_normalization,
            head="token",
        )
        ids = SpeechIds(speech, speech + NUM_ENDING, speech + FILL)
        super().__init__(architecture, ids, sizes.to_dict(), sizes.mix_ratio)
        self.sizes = sizes
        width = sizes.hidden_size
        self.llm_embedding = nn.Embedding(2, width)
        self.model = Backbone(architecture, self.config.objective, qkv_bias=True)
        self.llm_decoder = nn.Linear(width, self.ids.scored)
        self.speech_embedding = nn.Embedding(self.ids.scored, width)

    @override
    def initialize(self) -> None:
        super().initialize()
        if self.sizes.speech_token_size == FSQ_SIZE:
            begin_with_digits(self.speech_embedding.weight)
            begin_with_digits(self.llm_decoder.weight)

    @override
    @classmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> Self:
        return cls(CosyVoice2Sizes.from_dict(flat))

    @override
    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor], folder: Path) -> dict[str, Any]:
        layer = "llm.model.model.layers.{}.{}.weight"
        vocab_size, hidden_size = weights["llm.model.model.embed_tokens.weight"].shape
        qwen2: dict[str, Any] = {}
        if (folder / TEXT_MODEL).is_file():
            qwen2 = read_json_object(folder / TEXT_MODEL)
        heads = qwen2.get("num_attention_heads", hidden_size // _HEAD_DIM)
        key_width = len(weights[layer.format(0, "self_attn.k_proj")])
        qwen2 |= {
            "vocab_size": vocab_size,
            "hidden_size": hidden_size,
            "intermediate_size": len(weights[layer.format(0, "mlp.gate_proj")]),
            "num_hidden_layers": sum(name.endswith("q_proj.weight") for name in weights),
            "num_attention_heads": heads,
            "num_key_value_heads": key_width * heads // hidden_size,
        }
        return {
            "qwen2": qwen2,
            "speech_token_size": len(weights["llm_decoder.bias"]) - NUM_ENDING,
        }

    @override
    def embed_text(self, token_ids: Tensor, past: Sequence[int] = ()) -> Tensor:
        begins = token_ids == self.config.architecture.eos_token_id
        embeddings: Tensor = self.model.embed_tokens(token_ids.masked_fill(begins, 0))
        if not begins.any():
            return embeddings
        return torch.where(begins[..., None], self.llm_embedding.weight[BEGIN_SPEECH], embeddings)

    @override
    def embed_conditions(self, conditions: Mapping[str, Tensor]) -> Tensor:
        if conditions:
            raise ValueError(f"the model takes no conditions; {', '.join(conditions)} was given")
        return self.llm_embedding.weight[START, None]

    @property
    @override
    def decoder(self) -> Backbone:
        return self.model

    @override
    def training_layout(self, num_text: int, num_speech: int, streaming: bool) -> Layout:
        n, m = self.sizes.mix_ratio  # with less speech, a text would not be read in time
        has_enough = num_speech * n > num_text * m
        return self.streaming_layout if streaming and has_enough else Layout()
