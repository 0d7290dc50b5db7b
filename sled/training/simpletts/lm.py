"""SimpleTTS's training command of its language model: its flags, as a run of ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import PartialState

from sled.model.tokens.simpletts import KIND
from sled.text.published_tokenizers import load_corpus_tokenizer
from sled.training.run_arguments import FlagParser, fill, setting
from sled.training.simpletts.flags import (
    Prepare,
    SimpleTTSData,
    SimpleTTSTraining,
    make_parser,
    prepare_corpora,
    read_flags,
)
from sled.training.tokens.arguments import (
    TokenDataArguments,
    TokenModelArguments,
    TokenTrainingArguments,
)
from sled.training.tokens.run import run_tokens

# Ids of speech that the joint vocabulary has room for: eight codebooks of 4096.
_SPEECH_IDS = 32_768


@dataclass
class SimpleTTSModel:
    """Sizes of the language model."""

    vocab_size: int = setting(350_000, "joint vocabulary")
    hidden_size: int = setting(2048, "width")
    intermediate_size: int = setting(5632, "stored, and used by no layer")
    num_hidden_layers: int = setting(16, "layers")
    num_attention_heads: int = setting(16, "query heads")
    num_key_value_heads: int = setting(16, "key and value heads")
    rms_norm_eps: float = setting(1e-6, "epsilon of the norms")
    rope_theta: float = setting(10_000.0, "base of the rotary frequencies")
    moe_intermediate_size: int = setting(1408, "width of an expert")
    shared_expert_intermediate_size: int = setting(5632, "width of the shared expert")
    num_experts_per_tok: int = setting(2, "experts of a position")
    num_experts: int = setting(8, "experts")
    spk_embed_dim: int = setting(192, "width of a speaker vector")


@dataclass
class SimpleTTSText:
    """How texts are read."""

    tokenizer: str = setting(
        "Qwen/Qwen1.5-MoE-A2.7B", "text tokenizer: folder or hub name; not a published flag"
    )


@dataclass
class SimpleTTSLMTraining(SimpleTTSTraining, TokenTrainingArguments):
    """Settings of the trainer, with the published defaults."""


def make_lm_parser(description: str | None = None) -> FlagParser:
    """The parser of the published flags."""
    groups = (SimpleTTSModel, SimpleTTSData, SimpleTTSText, SimpleTTSLMTraining)
    return make_parser(groups, description)


def train_lm(
    prepare: Prepare, argv: Sequence[str] | None = None, description: str | None = None
) -> Path:
    """Train as SimpleTTS's command for its language model says.

    Args:
        prepare: Prepares a corpus.
        argv: Its flags. None: those of the process.
        description: For --help.

    Returns:
        The folder of the model.

    Raises:
        ValueError: If flags or data cannot be used.
        OSError: If something cannot be read or written.
    """
    values = read_flags(make_lm_parser(description), argv)
    args = fill(SimpleTTSLMTraining, values)
    assert args.output_dir is not None  # transformers sets a default
    folder = Path(args.output_dir) / "data"
    lists = prepare_corpora(fill(SimpleTTSData, values), folder, prepare)
    config = folder / "config.json"
    sizes = _sizes(fill(SimpleTTSModel, values), values.tokenizer)
    state = PartialState()
    with state.main_process_first():
        if state.is_main_process:
            config.write_text(json.dumps(sizes) + "\n", encoding="utf-8")
    model = TokenModelArguments(family="simpletts", config=str(config))
    corpora = TokenDataArguments(
        train_manifest=[str(lists["train"])],
        eval_manifest=[str(lists["eval"])] if "eval" in lists else [],
        tokenizer=values.tokenizer,
    )
    return run_tokens((model, corpora, args))


def _sizes(model: SimpleTTSModel, tokenizer: str) -> dict[str, Any]:
    text_vocab = load_corpus_tokenizer(tokenizer).size
    codes = min(_SPEECH_IDS, model.vocab_size - text_vocab - 1)
    if codes < 1:
        raise ValueError(
            f"--vocab_size {model.vocab_size} has no room for speech after {text_vocab} text "
            "tokens: raise it"
        )
    return {"kind": KIND, "text_vocab": text_vocab, "codes": codes} | vars(model)
