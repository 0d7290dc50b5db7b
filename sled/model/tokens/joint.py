"""Writes CosyVoice2's language model as a plain causal language model of transformers.

Text and speech share one vocabulary, and a prompt is a list of ids, so any engine that runs Qwen2
can generate speech tokens. The joint vocabulary has the text, the id that begins speech, the id
that begins a sequence, then the ids of speech and those that end it. The biases of the scores,
which Qwen2 has no place for, are in the generation settings, as a bias of each id.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from sled.files.checkpoint import CONFIG_FILE, WEIGHTS_FILE
from sled.model.tokens.cosyvoice2 import CosyVoice2LM, CosyVoice2Sizes
from sled.model.tokens.lm import BEGIN_SPEECH, START

GENERATION_FILE = "generation_config.json"


@dataclass(frozen=True)
class JointVocabulary:
    """The ids of the joint vocabulary.

    Attributes:
        begin_speech: The number of text tokens, and the id that begins speech.
        start: The id that begins a sequence.
        first_speech: The id of speech token 0.
        end_speech: The id that ends speech.
        size: Number of ids.
    """

    begin_speech: int
    start: int
    first_speech: int
    end_speech: int
    size: int

    @classmethod
    def of(cls, model: CosyVoice2LM) -> JointVocabulary:
        """The joint vocabulary of a model."""
        text, ids = model.sizes.vocab_size, model.ids
        return cls(text, text + 1, text + 2, text + 2 + ids.speech, text + 2 + ids.scored)

    def prompt(self, text: Sequence[int], speech: Sequence[int] = ()) -> list[int]:
        """Return what the model reads before it speaks.

        Args:
            text: Text tokens; with prompt speech, its text first.
            speech: Speech tokens that are continued.
        """
        continued = [self.first_speech + token for token in speech]
        return [self.start, *text, self.begin_speech, *continued]

    def speech(self, generated: Sequence[int]) -> list[int]:
        """Return the speech tokens of generated ids, up to the first that is none."""
        tokens: list[int] = []
        for one in generated:
            if not self.first_speech <= one < self.end_speech:
                break
            tokens.append(one - self.first_speech)
        return tokens


@torch.no_grad()
def save_causal_lm(model: CosyVoice2LM, folder: Path) -> JointVocabulary:
    """Write a folder that `AutoModelForCausalLM.from_pretrained` loads.

    Args:
        model: The model.
        folder: Made if need be.

    Returns:
        The ids of its prompts and of what it generates.
    """
    joint, backbone = JointVocabulary.of(model), model.model
    weights = {f"model.{name}": tensor for name, tensor in backbone.state_dict().items()}
    special = model.llm_embedding.weight[[BEGIN_SPEECH, START]]
    text = backbone.embed_tokens.weight
    speech = model.speech_embedding.weight
    weights["model.embed_tokens.weight"] = torch.cat((text, special, speech))
    scores = model.llm_decoder.weight
    silent = scores.new_zeros(joint.first_speech, scores.shape[1])
    weights["lm_head.weight"] = torch.cat((silent, scores))
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in weights.items()}
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    dtype = str(model.dtype).removeprefix("torch.")
    _write(folder / CONFIG_FILE, _config(model.sizes, joint, dtype))
    _write(folder / GENERATION_FILE, _generation(model, joint))
    return joint


def _config(sizes: CosyVoice2Sizes, joint: JointVocabulary, dtype: str) -> dict[str, Any]:
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "vocab_size": joint.size,
        "hidden_size": sizes.hidden_size,
        "intermediate_size": sizes.intermediate_size,
        "num_hidden_layers": sizes.num_hidden_layers,
        "num_attention_heads": sizes.num_attention_heads,
        "num_key_value_heads": sizes.num_key_value_heads,
        "max_position_embeddings": sizes.max_position_embeddings,
        "rope_theta": sizes.rope_theta,
        "rms_norm_eps": sizes.rms_norm_eps,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "torch_dtype": dtype,
    }


def _generation(model: CosyVoice2LM, joint: JointVocabulary) -> dict[str, Any]:
    sampling = model.config.speaking.sampling()
    bias = model.llm_decoder.bias.float().tolist()
    return {
        "bos_token_id": joint.start,
        "eos_token_id": list(range(joint.end_speech, joint.size)),
        "pad_token_id": joint.end_speech,
        "do_sample": True,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "suppress_tokens": list(range(joint.first_speech)),
        "sequence_bias": [[[joint.first_speech + i], value] for i, value in enumerate(bias)],
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")
