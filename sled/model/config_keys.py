"""Keys of `config.json` that are not settings of a model here."""

from __future__ import annotations

from typing import Any

# Llama options that the published files contain, always with these values.
FIXED_KEYS: dict[str, Any] = {
    "attention_bias": False,
    "hidden_act": "silu",
    "mlp_bias": False,
    "pretraining_tp": 1,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "use_cache": True,
}
# These do not affect the computation here, so any value is accepted.
INERT_KEYS = {"pretraining_tp", "use_cache"}

# Keys that transformers may write into any configuration. They are ignored.
TRANSFORMERS_KEYS = {
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_name_or_path",
    "architectures",
    "attn_implementation",
    "chunk_size_feed_forward",
    "dtype",
    "id2label",
    "is_encoder_decoder",
    "label2id",
    "model_type",
    "name_or_path",
    "num_labels",
    "output_attentions",
    "output_hidden_states",
    "problem_type",
    "return_dict",
    "torch_dtype",
    "transformers_version",
}
