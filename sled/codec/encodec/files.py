"""Reading and writing the files of Encodec.

A folder or hub repository holds config.json and model.safetensors as transformers writes them; a
`.th` file holds the state dict of the `encodec` package.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sled.codec.encodec.config import EncodecConfig
from sled.codec.encodec.network import Encodec
from sled.files.hub import find_hub_file, hub_file, is_hub_name

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"

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
    config = EncodecConfig.from_dict(read_config(name_or_path))
    return _build(name_or_path, config, _read_weights(_require(name_or_path, WEIGHTS_FILE)))


def save_encodec(model: Encodec, folder: Path) -> None:
    """Write config.json and model.safetensors, which transformers' `EncodecModel` reads too.

    Tensors that only training reads are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = model.state_dict()
    kept = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in state.items()
        if not name.endswith(TRAINING_AVERAGES)
    }
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    config = json.dumps(model.config.to_dict() | {"dtype": dtype}, indent=2, sort_keys=True)
    save_file(kept, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    (folder / CONFIG_FILE).write_text(config + "\n", encoding="utf-8")


def read_config(name_or_path: str | Path) -> dict[str, object]:
    """Read the config.json of a codec; empty for a `.th` file, which has none.

    Raises:
        ValueError: If it is not there, cannot be read, or is that of another model.
    """
    if Path(name_or_path).expanduser().is_file():
        return {}
    path = _require(name_or_path, CONFIG_FILE)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        EncodecConfig.from_dict(values)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{name_or_path} is not a usable codec: {error}") from error
    assert isinstance(values, dict)
    return values


def find_file(name_or_path: str | Path, file: str) -> Path | None:
    """A file of a codec, in its folder or on the hub; None if there is none.

    Raises:
        ValueError: If it is on the hub, and cannot be downloaded.
    """
    folder = Path(name_or_path).expanduser()
    if folder.is_file():  # a state file stands alone
        return None
    if folder.is_dir():
        return path if (path := folder / file).is_file() else None
    return find_hub_file(str(name_or_path), file)


def _require(name_or_path: str | Path, file: str) -> Path:
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        if (path := folder / file).is_file():
            return path
        raise _cannot_load(name_or_path, f"it has no {file}")
    try:
        return hub_file(str(name_or_path), file)
    except ValueError as error:
        raise _cannot_load(name_or_path, str(error)) from error


def _cannot_load(name_or_path: str | Path, reason: str) -> ValueError:
    return ValueError(f"cannot load the codec {name_or_path}: {reason}")


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            return {
                _renamed(name, _OLD_NAMES): file.get_tensor(name).to(torch.float32, copy=True)
                for name in names
            }
    except (OSError, SafetensorError) as error:
        raise _cannot_load(path, str(error).strip().splitlines()[0]) from error


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
    model = Encodec(config)
    expected = model.state_dict()
    missing = {name for name in expected.keys() - state.keys()}
    _refuse_differences(
        source,
        missing={name for name in missing if not name.endswith(TRAINING_AVERAGES)},
        unexpected=state.keys() - expected.keys(),
        misshapen=[
            f"{name} {list(state[name].shape)} for {list(tensor.shape)}"
            for name, tensor in expected.items()
            if name in state and state[name].shape != tensor.shape
        ],
    )
    averages = {name: torch.zeros(expected[name].shape) for name in missing}
    model.load_state_dict(state | averages, assign=True)
    return model


def _refuse_differences(source: str | Path, **kinds: Collection[str]) -> None:
    """Raise a ValueError that lists the tensors of each kind of difference."""
    lists = [f"{kind}: {', '.join(sorted(names))}" for kind, names in kinds.items() if names]
    if lists:
        raise ValueError(
            f"the tensors of {source} do not fit the Encodec architecture; " + "; ".join(lists)
        )
