"""Checkpoints of speech-token language models: folders, and the published `llm.pt`.

A folder has `config.json` with the sizes by their published names, and the weights in
`model.safetensors`, or in `llm.pt`, also by their published names. A published folder has no
`config.json`: then the sizes are those of the tensors. A file of weights may also have
`config.json` beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from sled.files.checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    assign_weights,
    read_weights,
)
from sled.files.json_object import read_json_object
from sled.files.state_dict import read_state_dict
from sled.files.without_weights import without_weights
from sled.model.config import Config
from sled.model.tokens.config import TokenConfig
from sled.model.tokens.cosyvoice import CosyVoiceLM
from sled.model.tokens.cosyvoice2 import TEXT_MODEL, CosyVoice2LM
from sled.model.tokens.lm import TokenLM
from sled.model.tokens.simpletts import SimpleTTSLM

PUBLISHED_WEIGHTS = "llm.pt"

MODELS: dict[str, type[TokenLM]] = {
    "TransformerLM": CosyVoiceLM,
    "Qwen2LM": CosyVoice2LM,
    "SimpleTTS TTSLLM (Qwen2Moe)": SimpleTTSLM,
}
"""The models by the `kind` in their configuration, the published name of the class."""


def is_published_lm(folder: Path) -> bool:
    """Whether a folder has a language model as it is published: `llm.pt` without `config.json`."""
    return (folder / PUBLISHED_WEIGHTS).is_file() and not (folder / CONFIG_FILE).exists()


def load_token_lm(path: Path, dtype: torch.dtype | None = None) -> TokenLM:
    """Load a model, and check that it is complete.

    Args:
        path: A folder with `config.json`, a published folder, or a file such as `llm.pt`.
        dtype: Type of the weights. None: as stored.

    Returns:
        The model on the CPU, in evaluation mode.

    Raises:
        OSError: If a file is missing.
        ValueError: If one cannot be read, or the tensors are not those of the model.
    """
    folder = path if path.is_dir() else path.parent
    weights = _read_state(path, dtype)
    model = _without_weights(folder, weights)
    renamed = {}
    for name, tensor in weights.items():
        if name not in model.UNUSED:
            renamed[_rename(name, {theirs: ours for ours, theirs in model.NAMES.items()})] = tensor
    assign_weights(path, model, renamed)
    return model.eval()


def make_token_lm(flat: Mapping[str, Any], source: Path) -> TokenLM:
    """Make a new model.

    Args:
        flat: The content of a `config.json`.
        source: Where that is from, for errors.

    Raises:
        ValueError: If it is no configuration of a model.
    """
    return _build(_model_type(flat, source), flat, source)


def load_token_config(folder: Path) -> Config:
    """Read the configuration of a folder; of a published one, it is that of the tensors' shapes.

    Raises:
        OSError: If it has none.
        ValueError: If it cannot be read.
    """
    shapes = {}
    if is_published_lm(folder):
        shapes = read_state_dict(folder / PUBLISHED_WEIGHTS, device="meta")
    return _without_weights(folder, shapes).config


def text_tokenizer_folder(folder: Path) -> Path:
    """The folder of a model's text tokenizer: its own, or, as published, that of its text model."""
    inner = folder / TEXT_MODEL.parent
    return inner if is_published_lm(folder) and inner.is_dir() else folder


def added_tokens(config: Config) -> tuple[str, ...]:
    """The special tokens that a published text tokenizer is given for a model."""
    return MODELS[config.flat["kind"]].ADDED_TOKENS if isinstance(config, TokenConfig) else ()


def save_token_lm(model: TokenLM, folder: Path) -> None:
    """Write a model into a folder, with the published names of its tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    save_token_config(model, folder)
    save_file(published_state(model), folder / WEIGHTS_FILE, metadata={"format": "pt"})


def save_token_config(model: TokenLM, folder: Path) -> None:
    """Write `config.json` into a folder."""
    text = json.dumps(model.config.to_dict(), indent=2, sort_keys=True) + "\n"
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")


def published_state(model: TokenLM) -> dict[str, Tensor]:
    """Return the tensors of a model by their published names, with those that are not used."""
    state = {published_name(model, name): tensor for name, tensor in model.state_dict().items()}
    for unused, stand_in in model.UNUSED.items():
        state[unused] = state[stand_in].clone()  # files of safetensors share no memory
    return {name: tensor.contiguous() for name, tensor in state.items()}


def published_name(model: TokenLM, name: str) -> str:
    """Return the published name of a tensor of a model."""
    return _rename(name, model.NAMES)


def num_token_parameters(config: Config) -> int:
    """Return the number of parameters of a model with this configuration."""
    return _num_parameters(json.dumps(config.to_dict()))


@lru_cache
def _num_parameters(config: str) -> int:
    flat = json.loads(config)
    with without_weights():
        return _build(flat["kind"], flat, Path()).parameter_count


def _rename(name: str, prefixes: Mapping[str, str]) -> str:
    for old, new in prefixes.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _without_weights(folder: Path, weights: Mapping[str, Tensor]) -> TokenLM:
    """The model of a folder, with the sizes of `config.json`, or else of its tensors."""
    source = folder / CONFIG_FILE
    if source.is_file() or not weights:
        flat = read_json_object(source)
        model_type = _model_type(flat, source)
    else:
        model_type, flat = _sizes_of_tensors(weights, folder)
    with without_weights():
        return _build(model_type, flat, source)


def _model_type(flat: Mapping[str, Any], source: Path) -> str:
    kind = flat.get("kind")
    if kind not in MODELS:
        raise ValueError(f"{source} has kind {kind!r}, known are {', '.join(sorted(MODELS))}")
    return str(kind)


def _build(kind: str, flat: Mapping[str, Any], source: Path) -> TokenLM:
    try:
        model = MODELS[kind].from_dict(flat)
        model.config.take_settings(flat)
        return model
    except (
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        RuntimeError,
        ArithmeticError,
    ) as error:
        raise ValueError(
            f"{source} is no configuration of a {kind} ({error}): copy it again"
        ) from error


def _sizes_of_tensors(weights: Mapping[str, Tensor], folder: Path) -> tuple[str, dict[str, Any]]:
    for kind, model in MODELS.items():
        try:
            return kind, model.sizes_of(weights, folder)
        except KeyError:
            continue
    raise ValueError(f"{folder}: the weights are of no known model ({', '.join(sorted(MODELS))})")


def _read_state(path: Path, dtype: torch.dtype | None) -> dict[str, Tensor]:
    if path.is_dir():
        if (path / WEIGHTS_FILE).is_file() or not (path / PUBLISHED_WEIGHTS).is_file():
            return read_weights(path, dtype)
        path = path / PUBLISHED_WEIGHTS
    return read_state_dict(path, dtype)
