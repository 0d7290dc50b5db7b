"""Reading and writing the files of Encodec.

A folder or hub repository holds config.json and model.safetensors as transformers writes them; a
`.th` file holds the state dict of the `encodec` package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from sled.codec.encodec.config import EncodecConfig
from sled.codec.encodec.network import Encodec
from sled.codec.files import (
    CONFIG_FILE,
    read_config,
    read_weights,
    refuse_differences,
    unusable,
    write_model,
)
from sled.files.hub import is_hub_name
from sled.files.without_weights import without_weights

# Only training reads these tensors, which are as large as the codebooks themselves.
TRAINING_AVERAGES = ".codebook.embed_avg"

# Names of older torch versions for weight normalization, also in the published weights.
_OLD_NAMES = (
    (r"\.weight_g$", ".parametrizations.weight.original0"),
    (r"\.weight_v$", ".parametrizations.weight.original1"),
)
# Names in the state dict of the `encodec` package.
_STATE_FILE_NAMES = (
    (r"^(encoder|decoder)\.model\.", r"\1.layers."),
    (r"\.(conv|convtr)\.\1\.", ".conv."),
    (r"^quantizer\.vq\.layers\.(\d+)\._codebook\.", r"quantizer.layers.\1.codebook."),
    *_OLD_NAMES,
)


def load_encodec(name_or_path: str | Path) -> Encodec:
    """Load a model in float32, whatever precision it is stored in.

    Args:
        name_or_path: A folder with config.json and model.safetensors, a name on the Hugging Face
            hub (`facebook/encodec_24khz`), or a `.th` state file of the `encodec` package.

    Raises:
        ValueError: If there is no such model, or its tensors are not those of its architecture.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return _build(path, EncodecConfig(), _read_state_file(path))
    if path.is_dir():
        if not (path / CONFIG_FILE).is_file():
            raise ValueError(f"{path} holds no codec: it has no {CONFIG_FILE}")
    elif not is_hub_name(name_or_path):
        raise ValueError(
            f"no codec at {path}: give a folder, a .th file or a hub name such as "
            "facebook/encodec_24khz"
        )
    try:
        config = EncodecConfig.from_dict(read_config(name_or_path))
    except TypeError as error:
        raise unusable(name_or_path, str(error)) from error
    weights = read_weights(name_or_path)
    state = {_renamed(name, _OLD_NAMES): tensor for name, tensor in weights.items()}
    return _build(name_or_path, config, state)


def save_encodec(model: Encodec, folder: Path) -> None:
    """Write config.json and model.safetensors, which transformers' `EncodecModel` reads too.

    Tensors that only training reads are left out.
    """
    state = model.state_dict()
    kept = {name: x for name, x in state.items() if not name.endswith(TRAINING_AVERAGES)}
    write_model(folder, model.config.to_dict(), kept, next(model.parameters()).dtype)


def _read_state_file(path: Path) -> dict[str, Tensor]:
    """Read the 24 kHz model's state dict as the `encodec` package stores it."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds on files that are not its own
        raise ValueError(f"{path} is not a readable state file: {error!r:.200}") from error
    if not isinstance(stored, Mapping) or not all(isinstance(v, Tensor) for v in stored.values()):
        raise ValueError(f"{path} is not a state file: it must hold a dict of tensors by name")
    return {_renamed(name, _STATE_FILE_NAMES): tensor.float() for name, tensor in stored.items()}


def _renamed(name: str, patterns: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in patterns:
        name = re.sub(pattern, replacement, name)
    return name


def _build(source: str | Path, config: EncodecConfig, state: dict[str, Tensor]) -> Encodec:
    """A model that holds these tensors, not copies of them."""
    with without_weights():
        model = Encodec(config)
    expected = model.state_dict()
    averages = [name for name in expected if name.endswith(TRAINING_AVERAGES)]
    refuse_differences(source, "Encodec", state, expected, optional=averages)
    absent = {name: torch.zeros(expected[name].shape) for name in averages if name not in state}
    model.load_state_dict(state | absent, assign=True)
    return model
