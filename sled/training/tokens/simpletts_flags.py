"""SimpleTTS's training command: its flags, as a run of ours.

Its corpora are JSON lines of `wav` and `txt`. They are prepared once, in the folder `data` of the
output: speaker vectors and speech tokens are extracted, and packed as Parquet.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from accelerate import PartialState

from sled.model.tokens.simpletts import KIND
from sled.text.published_tokenizers import load_corpus_tokenizer
from sled.training.run_arguments import FlagParser, setting
from sled.training.tokens.arguments import (
    TokenDataArguments,
    TokenModelArguments,
    TokenTrainingArguments,
)
from sled.training.tokens.run import run_tokens

# Ids of speech that the joint vocabulary has room for: eight codebooks of 4096.
_SPEECH_IDS = 32_768
# Writes the data.list of a corpus of JSON lines into a folder.
Prepare = Callable[[Path, Path, "SimpleTTSData"], Path]


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
class SimpleTTSData:
    """The corpora, and what their tables are extracted with."""

    data_path: str = setting("", "JSON lines of wav and txt, for training")
    eval_data_path: str = setting("", "the same for evaluation")
    campplus_onnx_path: str = setting("", "speaker encoder, campplus.onnx")
    speech_tokenizer: str = setting(
        "", "speech tokenizer, such as speech_tokenizer_v1.onnx; not a published flag"
    )
    tokenizer: str = setting(
        "Qwen/Qwen1.5-MoE-A2.7B", "text tokenizer: folder or hub name; not a published flag"
    )
    model_max_length: int = setting(8192, "accepted, without effect")


@dataclass
class SimpleTTSTraining(TokenTrainingArguments):
    """Settings of the trainer, with the published defaults."""

    max_steps: int = 1_000_000
    save_steps: float = 8000
    optim: str = field(default="adafactor")
    seed: int = 2025
    max_frames_in_batch: int = 0


def make_simpletts_parser(description: str | None = None) -> FlagParser:
    """The parser of the published flags."""
    groups: list[Any] = [SimpleTTSModel, SimpleTTSData, SimpleTTSTraining]
    return FlagParser(groups, description=description, allow_abbrev=False)


def train_simpletts(
    prepare: Prepare, argv: Sequence[str] | None = None, description: str | None = None
) -> Path:
    """Train as a command of SimpleTTS says.

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
    values, unknown = make_simpletts_parser(description).parse_known_args(argv)
    if unknown:
        raise ValueError(f"unknown flags or values {' '.join(unknown)}: see --help")

    def fill(arguments: type[Any]) -> Any:
        names = (one.name for one in fields(arguments) if one.init)
        return arguments(**{name: getattr(values, name) for name in names})

    data: SimpleTTSData = fill(SimpleTTSData)
    for flag in ("data_path", "campplus_onnx_path", "speech_tokenizer"):
        if not getattr(data, flag):
            raise ValueError(f"--{flag} is missing: see --help")
    args: SimpleTTSTraining = fill(SimpleTTSTraining)
    assert args.output_dir is not None  # transformers sets a default
    output = Path(args.output_dir)
    lists = {}
    with PartialState().main_process_first():
        for name, path in (("train", data.data_path), ("eval", data.eval_data_path)):
            if path:
                lists[name] = prepare(Path(path), output / "data" / name, data)
        config = output / "data" / "config.json"
        config.write_text(json.dumps(_sizes(fill(SimpleTTSModel), data.tokenizer)) + "\n")
    model = TokenModelArguments(family="simpletts", config=str(config))
    corpora = TokenDataArguments(
        train_manifest=[str(lists["train"])],
        eval_manifest=[str(lists["eval"])] if "eval" in lists else [],
        tokenizer=data.tokenizer,
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
