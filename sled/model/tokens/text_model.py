"""Starts CosyVoice2's language model with the layers and text embeddings of a Qwen2 model."""

from __future__ import annotations

from pathlib import Path

import torch

from sled.files.checkpoint import read_weights
from sled.model.tokens.cosyvoice2 import CosyVoice2LM

_PREFIX = "model."


@torch.no_grad()
def copy_text_model(model: CosyVoice2LM, folder: Path) -> None:
    """Copy the weights of a Qwen2 model of the same sizes.

    Args:
        model: A new model.
        folder: With `config.json` and `model.safetensors`, as of `Qwen2ForCausalLM`.

    Raises:
        OSError: If a file is missing.
        ValueError: If its tensors do not fit.
    """
    weights = {
        name.removeprefix(_PREFIX): weight
        for name, weight in read_weights(folder, torch.float32).items()
        if name.startswith(_PREFIX)
    }
    ours = model.model.state_dict()
    missing = sorted(ours.keys() - weights.keys())
    differing = [
        name for name in ours.keys() & weights.keys() if ours[name].shape != weights[name].shape
    ]
    if missing or differing:
        raise ValueError(
            f"{folder} is no Qwen2 model of the sizes of the model to train: it lacks or has "
            f"another shape of {', '.join([*missing, *differing][:3])}"
        )
    model.model.load_state_dict({name: weights[name] for name in ours})
