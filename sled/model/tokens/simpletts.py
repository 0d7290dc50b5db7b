"""The language model of SimpleTTS: a Qwen2-MoE decoder over text and speech in one vocabulary.

The joint vocabulary has the text, a token that begins speech, speech and a token that ends it. As
published, the first speech token and the one that begins speech are the same. A sequence is a
speaker vector, the text between the tokens that mark its ends, the token that begins speech, and
speech.

Shapes: E = H hidden width, S scored ids, J joint vocabulary; see `sled.model.tokens.lm`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self, override

from sled.model.backbone import Backbone
from sled.model.config import Architecture
from sled.model.ids import SpeechIds
from sled.model.tokens.experts import ExpertMLP, ExpertSizes, balance_loss
from sled.model.tokens.lm import TokenLM

KIND = "SimpleTTS TTSLLM (Qwen2Moe)"
SPEAKER = "speaker"
MAX_POSITIONS = 8192
# Of the loss that keeps the use of experts even.
BALANCE_WEIGHT = 1e-3


@dataclass(frozen=True, kw_only=True)
class SimpleTTSSizes(ExpertSizes):
    """The sizes of the model.

    Attributes:
        text_vocab: Number of text tokens, which is the number of the token that begins speech.
        codes: Number of speech tokens.
        vocab_size: J, at least one more than text and speech.
        hidden_size: H.
        intermediate_size: Stored, and used by no layer.
        num_hidden_layers: Number of layers.
        num_attention_heads: Number of query heads.
        num_key_value_heads: Number of key and value heads.
        spk_embed_dim: Width of a speaker vector.
        rope_theta: Base of the rotary frequencies.
        rms_norm_eps: Epsilon of the RMS norms.
        frame_rate: Speech tokens per second.
        text_begin_id: The token before every text. None: there is none.
        text_end_id: The token after every text. None: there is none.
    """

    text_vocab: int
    codes: int
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    spk_embed_dim: int
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-6
    frame_rate: float = 25.0
    text_begin_id: int | None = None
    text_end_id: int | None = None


class SimpleTTSLM(TokenLM):
    """The model. Attributes have the published tensor names, but for the prefix `llm`.

    Args:
        sizes: Its sizes.
    """

    takes_speaker = True
    TRAINED_S = 30.0
    NAMES = {"model.": "llm.model.", "lm_head.": "llm.lm_head."}  # noqa: RUF012

    def __init__(self, sizes: SimpleTTSSizes) -> None:
        architecture = Architecture(
            vocab_size=sizes.text_vocab,
            hidden_size=sizes.hidden_size,
            intermediate_size=sizes.intermediate_size,
            num_hidden_layers=sizes.num_hidden_layers,
            num_attention_heads=sizes.num_attention_heads,
            num_key_value_heads=sizes.num_key_value_heads,
            max_position_embeddings=MAX_POSITIONS,
            rope_theta=sizes.rope_theta,
            rms_norm_eps=sizes.rms_norm_eps,
            vae_embed_dim=sizes.codes,
            bos_token_id=sizes.text_begin_id,
            eos_token_id=sizes.text_vocab,
            frame_rate=sizes.frame_rate,
            head="token",
            conditions={SPEAKER: sizes.spk_embed_dim},
        )
        flat = {"model_type": KIND, "kind": KIND, **asdict(sizes)}
        super().__init__(architecture, SpeechIds(sizes.codes, sizes.codes + 1), flat)
        # The published vocabulary has room for more codebooks than the speech tokenizer has.
        self.config.has_spare_ids = True
        self.sizes = sizes
        self.set_text_ends(sizes.text_begin_id, sizes.text_end_id)
        make_mlp = partial(ExpertMLP, sizes)
        joint = Backbone(architecture, self.config.objective, qkv_bias=True, make_mlp=make_mlp)
        joint.embed_tokens = nn.Embedding(sizes.vocab_size, sizes.hidden_size)
        self.model = joint
        self.lm_head = nn.Linear(sizes.hidden_size, sizes.vocab_size, bias=False)
        self.spk_embed_affine_layer = nn.Linear(sizes.spk_embed_dim, sizes.hidden_size)

    def set_text_ends(self, begin: int | None, end: int | None) -> None:
        """Set the tokens between which texts are read, which `config.json` holds.

        Args:
            begin: The token before every text. None: there is none.
            end: The token after every text. None: there is none.

        Raises:
            ValueError: If one is no token of a text.
        """
        vocabulary = self.config.architecture.vocab_size
        for one in (begin, end):
            if one is not None and not 0 <= one < vocabulary:
                raise ValueError(
                    f"token {one} marks the end of texts, but the model has {vocabulary} text "
                    "tokens: use the tokenizer that belongs to the model"
                )
        self.config.architecture.bos_token_id, self.config.text_end = begin, end
        self.config.flat |= {"text_begin_id": begin, "text_end_id": end}
        self.sizes = replace(self.sizes, text_begin_id=begin, text_end_id=end)

    @override
    @classmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> Self:
        names = {one.name for one in fields(SimpleTTSSizes)}
        sizes = SimpleTTSSizes(**{name: value for name, value in flat.items() if name in names})
        return cls(sizes)

    @override
    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor], folder: Path) -> dict[str, Any]:
        raise KeyError("tensors of a joint vocabulary do not tell where speech begins")

    @override
    def embed_text(self, token_ids: Tensor, past: Sequence[int] = ()) -> Tensor:
        embeddings: Tensor = self.model.embed_tokens(token_ids)
        return embeddings

    @override
    def embed_units(self, units: Tensor) -> Tensor:
        embeddings: Tensor = self.model.embed_tokens(units + self.sizes.text_vocab)
        return embeddings

    @override
    def embed_conditions(self, conditions: Mapping[str, Tensor]) -> Tensor:
        if conditions.keys() != {SPEAKER}:
            given = ", ".join(conditions) or "none"
            raise ValueError(f"the model takes the condition {SPEAKER}; {given} was given")
        # Of length 1, as in training; before the precision is reduced.
        vector = F.normalize(conditions[SPEAKER].float(), dim=-1)
        projected: Tensor = self.spk_embed_affine_layer(vector.to(self.device, self.dtype))
        return projected[None]

    @property
    @override
    def decoder(self) -> Backbone:
        return self.model

    @override
    def score_ids(self, hidden: Tensor) -> Tensor:
        # Normalised over the joint vocabulary: that is what the model chooses from in training.
        log_p = self.joint_scores(hidden).log_softmax(-1)
        first = self.sizes.text_vocab
        return log_p[..., first : first + self.ids.scored]

    def joint_scores(self, hidden: Tensor) -> Tensor:
        """Return unnormalised log-probabilities [..., J] after hidden states [..., H]."""
        scores: Tensor = self.lm_head(hidden)
        return scores

    @override
    def log_probabilities(self, scores: Tensor) -> Tensor:
        return scores

    @override
    def initialize(self) -> None:
        super().initialize()
        nn.init.normal_(self.lm_head.weight, std=self.config.architecture.initializer_range)

    @override
    def auxiliary_loss(self) -> Tensor:
        return BALANCE_WEIGHT * self.balance_loss()

    def balance_loss(self) -> Tensor:
        """Return the load-balancing loss of the newest call; see `experts.balance_loss`."""
        scores = [one.router_scores for one in self.modules() if isinstance(one, ExpertMLP)]
        return balance_loss(
            [one for one in scores if one is not None], self.sizes.num_experts_per_tok
        )
