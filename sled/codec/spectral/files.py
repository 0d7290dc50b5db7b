"""Reading and writing the files of a spectral codec."""

from __future__ import annotations

from pathlib import Path

import torch

from sled.codec.files import read_config, read_weights, refuse_differences, unusable, write_model
from sled.codec.spectral.config import SpectralConfig
from sled.codec.spectral.network import Spectral


def load_spectral(name_or_path: str | Path) -> Spectral:
    """Load the networks in float32, whatever precision they are stored in.

    Args:
        name_or_path: A folder with config.json and model.safetensors, or a hub name.

    Raises:
        ValueError: If there is no such codec, or its tensors are not those of its architecture.
    """
    try:
        config = SpectralConfig.from_dict(read_config(name_or_path))
    except (TypeError, ValueError) as error:
        raise unusable(name_or_path, str(error)) from error
    with torch.device("meta"):  # no random numbers are drawn, and no memory is taken
        model = Spectral(config)
    state = read_weights(name_or_path)
    refuse_differences(name_or_path, "spectral", state, model.state_dict())
    model.load_state_dict(state, assign=True)
    return model


def save_spectral(model: Spectral, folder: Path) -> None:
    """Write config.json and model.safetensors."""
    dtype = next(model.parameters()).dtype
    write_model(folder, model.config.to_dict(), model.state_dict(), dtype)
