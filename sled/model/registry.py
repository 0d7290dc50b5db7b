"""Which code loads a checkpoint: found by the `model_type` in its `config.json`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from sled.files.checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    assign_weights,
    map_weights,
    read_weights,
)
from sled.files.json_object import read_json_object
from sled.files.without_weights import without_weights
from sled.model.config import MODEL_TYPE, Config
from sled.model.lm import STOP_POSITIVE_WEIGHT, SpeechLM, num_parameters
from sled.model.tokens.files import (
    MODELS,
    is_published_lm,
    load_token_config,
    load_token_lm,
    num_token_parameters,
    save_token_lm,
)
from sled.model.tokens.lm import TokenLM


def load_speech_lm(
    folder: Path, dtype: torch.dtype | None = None, config: Config | None = None
) -> SpeechLM:
    """Load a `SpeechLM` from a checkpoint folder, and check that it is complete.

    Args:
        folder: With `config.json` and the weights.
        dtype: Type of the weights. None: as stored, mapped into memory (see `map_weights`).
        config: Used instead of that of the folder.

    Returns:
        The model on the CPU, in evaluation mode.

    Raises:
        OSError: If a file is missing.
        ValueError: If one cannot be read, or the tensors are not those of the model.
    """
    with without_weights():
        model = SpeechLM(config or Config.load(folder))
    weights = map_weights(folder) if dtype is None else read_weights(folder, dtype)
    # A constant, which some writers of the format leave out.
    weights.setdefault("bceloss.pos_weight", torch.tensor([STOP_POSITIVE_WEIGHT], dtype=dtype))
    assign_weights(folder, model, weights)
    return model.eval()


def save_speech_lm(model: SpeechLM, folder: Path) -> None:
    """Write a `SpeechLM` into a checkpoint folder that `load_speech_lm` reads."""
    model.config.save(folder)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})


@dataclass(frozen=True)
class ModelFamily:
    """How checkpoints of one `model_type` are loaded.

    Attributes:
        load_config: Reads the configuration of a checkpoint folder.
        load_model: Loads the model of a folder, in evaluation mode, in a type or (None) as stored.
        num_parameters: The number of parameters of a model with a configuration.
        save_model: Writes such a model into a folder that `load_model` reads.
    """

    load_config: Callable[[Path], Config]
    load_model: Callable[[Path, torch.dtype | None], SpeechLM | TokenLM]
    num_parameters: Callable[[Config], int]
    save_model: Callable[[Any, Path], None] = save_speech_lm


_TOKENS = ModelFamily(load_token_config, load_token_lm, num_token_parameters, save_token_lm)
FAMILIES: dict[str, ModelFamily] = {
    MODEL_TYPE: ModelFamily(Config.load, load_speech_lm, num_parameters, save_speech_lm),
    **dict.fromkeys(MODELS, _TOKENS),
}
"""The families by `model_type`; others can be added."""


def model_family(folder: Path) -> ModelFamily:
    """Return the family of a checkpoint folder.

    Raises:
        OSError: If it has no `config.json`, and no published language model.
        ValueError: If that cannot be read, or its `model_type` is unknown.
    """
    if is_published_lm(folder):
        return _TOKENS
    path = folder / CONFIG_FILE
    flat = read_json_object(path)
    model_type = flat.get("model_type", flat.get("kind", MODEL_TYPE))
    if model_type not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise ValueError(f"{path} has model_type {model_type!r}, known are {known}: update sled")
    return FAMILIES[model_type]
