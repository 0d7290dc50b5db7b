"""Writes language models of speech tokens as plain causal language models of transformers.

Text and speech share one vocabulary, and a prompt is a list of ids, so any engine that runs Qwen2
or Qwen2-MoE can generate speech tokens.

The joint vocabulary of CosyVoice2 has the text, the id that begins speech, the id that begins a
sequence, then the ids of speech and those that end it. The biases of the scores, which Qwen2 has
no place for, are in the generation settings, as a bias of each id. That of SimpleTTS is its own,
and after it an id for each voice, whose embedding is made of the vector of the speaker.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from sled.files.checkpoint import CONFIG_FILE, WEIGHTS_FILE
from sled.model.tokens.cosyvoice2 import CosyVoice2LM
from sled.model.tokens.experts import ExpertSizes
from sled.model.tokens.lm import BEGIN_SPEECH, START
from sled.model.tokens.simpletts import SPEAKER, SimpleTTSLM

GENERATION_FILE = "generation_config.json"


@dataclass(frozen=True)
class JointVocabulary:
    """The ids of the joint vocabulary.

    Attributes:
        begin_speech: The number of text tokens, and the id that begins speech.
        start: The id that begins a sequence; of SimpleTTS, that of its first voice.
        first_speech: The id of speech token 0.
        end_speech: The id that ends speech.
        size: Number of ids.
        voices: Of SimpleTTS, the id that begins a sequence in each voice.
        text_ends: Of SimpleTTS, the tokens before and after every text; None where there is none.
    """

    begin_speech: int
    start: int
    first_speech: int
    end_speech: int
    size: int
    voices: Mapping[str, int] = field(default_factory=dict)
    text_ends: tuple[int | None, int | None] = (None, None)

    @classmethod
    def of(cls, model: CosyVoice2LM | SimpleTTSLM, voices: Sequence[str] = ()) -> JointVocabulary:
        """The joint vocabulary of a model, with names of voices for SimpleTTS."""
        ids = model.ids
        if isinstance(model, SimpleTTSLM):
            text, own = model.sizes.text_vocab, model.sizes.vocab_size
            numbered = {name: own + number for number, name in enumerate(voices)}
            size = own + len(voices)
            ends = (model.sizes.text_begin_id, model.sizes.text_end_id)
            return cls(text, own, text, text + ids.speech, size, numbered, ends)
        text = model.sizes.vocab_size
        return cls(text, text + 1, text + 2, text + 2 + ids.speech, text + 2 + ids.scored)

    def prompt(
        self, text: Sequence[int], speech: Sequence[int] = (), voice: str | None = None
    ) -> list[int]:
        """Return what the model reads before it speaks.

        Args:
            text: Text tokens, without those that mark its ends; with prompt speech, its text
                first.
            speech: Speech tokens that are continued.
            voice: Name of a voice of SimpleTTS. None: the first one.

        Raises:
            KeyError: If there is no such voice.
        """
        start = self.start if voice is None else self.voices[voice]
        continued = [self.first_speech + token for token in speech]
        first, last = self.text_ends
        whole = (one for one in (first, *text, last) if one is not None)
        return [start, *whole, self.begin_speech, *continued]

    def speech(self, generated: Sequence[int]) -> list[int]:
        """Return the speech tokens of generated ids, up to the first that is none."""
        tokens: list[int] = []
        for one in generated:
            if not self.first_speech <= one < self.end_speech:
                break
            tokens.append(one - self.first_speech)
        return tokens


@torch.no_grad()
def save_causal_lm(
    model: CosyVoice2LM | SimpleTTSLM, folder: Path, voices: Mapping[str, Tensor] | None = None
) -> JointVocabulary:
    """Write a folder that `AutoModelForCausalLM.from_pretrained` loads.

    Args:
        model: The model.
        folder: Made if need be.
        voices: For SimpleTTS, vectors [width] of speakers by name, at least one.

    Returns:
        The ids of its prompts and of what it generates.

    Raises:
        ValueError: If voices are missing, or the model takes none.
    """
    if isinstance(model, SimpleTTSLM) != bool(voices):
        raise ValueError("voices are vectors of speakers for SimpleTTS, which needs one at least")
    joint = JointVocabulary.of(model, list(voices or ()))
    text = model.model.embed_tokens.weight
    if isinstance(model, SimpleTTSLM):
        rows = [model.embed_conditions({SPEAKER: vector}) for vector in (voices or {}).values()]
        embeddings, scores = [text, *rows], model.lm_head.weight
        silent = scores.new_zeros(len(rows), scores.shape[1])
        all_scores = torch.cat((scores, silent))
    else:
        special = model.llm_embedding.weight[[BEGIN_SPEECH, START]]
        embeddings, scores = (
            [text, special, model.speech_embedding.weight],
            model.llm_decoder.weight,
        )
        silent = scores.new_zeros(joint.first_speech, scores.shape[1])
        all_scores = torch.cat((silent, scores))
    weights = {f"model.{name}": tensor for name, tensor in model.model.state_dict().items()}
    weights["model.embed_tokens.weight"] = torch.cat(embeddings)
    weights["lm_head.weight"] = all_scores
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in weights.items()}
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    _write(folder / CONFIG_FILE, _config(model, joint))
    _write(folder / GENERATION_FILE, _generation(model, joint))
    return joint


def _config(model: CosyVoice2LM | SimpleTTSLM, joint: JointVocabulary) -> dict[str, Any]:
    sizes = model.sizes
    kind: dict[str, Any] = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}
    if isinstance(sizes, ExpertSizes):
        names = ExpertSizes.__dataclass_fields__
        kind = {"architectures": ["Qwen2MoeForCausalLM"], "model_type": "qwen2_moe"}
        kind |= {name: value for name, value in asdict(sizes).items() if name in names}
        kind |= {"norm_topk_prob": False, "decoder_sparse_step": 1, "mlp_only_layers": []}
    return kind | {
        "vocab_size": joint.size,
        "hidden_size": sizes.hidden_size,
        "intermediate_size": sizes.intermediate_size,
        "num_hidden_layers": sizes.num_hidden_layers,
        "num_attention_heads": sizes.num_attention_heads,
        "num_key_value_heads": sizes.num_key_value_heads,
        "max_position_embeddings": model.config.architecture.max_position_embeddings,
        "rope_theta": sizes.rope_theta,
        "rms_norm_eps": sizes.rms_norm_eps,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "torch_dtype": str(model.dtype).removeprefix("torch."),
    }


def _generation(model: CosyVoice2LM | SimpleTTSLM, joint: JointVocabulary) -> dict[str, Any]:
    sampling = model.config.speaking.sampling()
    ends = [joint.end_speech + one for one in range(model.ids.scored - model.ids.speech)]
    settings = {
        "bos_token_id": joint.start,
        "eos_token_id": ends,
        "pad_token_id": joint.end_speech,
        "do_sample": True,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "suppress_tokens": [*range(joint.first_speech), *range(ends[-1] + 1, joint.size)],
    }
    if isinstance(model, CosyVoice2LM):
        bias = model.llm_decoder.bias.float().tolist()
        settings["sequence_bias"] = [
            [[joint.first_speech + number], value] for number, value in enumerate(bias)
        ]
    return settings


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")
