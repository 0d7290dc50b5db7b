"""Files of flows and vocoders: folders, and published state dicts such as `flow.pt`.

A folder has `config.json` with the sizes by their published names, and the weights by theirs in
`model.safetensors`. A state dict alone has sizes as well: those of the tensors. What they do not
tell, a published configuration may; else it is as published. Pickles are read with
`weights_only=True`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sled.files.checkpoint import CONFIG_FILE, WEIGHTS_FILE, assign_weights
from sled.files.json_object import read_json_object
from sled.files.state_dict import read_state_dict
from sled.files.without_weights import without_weights

Part = TypeVar("Part", bound=nn.Module, covariant=True)


class PartClass(Protocol[Part]):
    """The class of a part of the codec."""

    KIND: str

    def from_dict(self, flat: Mapping[str, Any], /) -> Part:
        """Make one with the sizes of a `config.json`."""
        ...

    def sizes_of(self, weights: Mapping[str, Tensor], /) -> dict[str, Any]:
        """Sizes of published weights; a `KeyError` if they are not those of this class."""
        ...


def load_part(
    path: Path,
    classes: Mapping[str, PartClass[Part]],
    told: Callable[[str], Mapping[str, Any]] | None = None,
) -> Part:
    """Load a network in float32, and check that it is complete.

    Args:
        path: A folder with `config.json` and `model.safetensors`, or a published state dict.
        classes: The classes that it may have, by `kind`.
        told: What else is known of a state dict of a kind, by published names. None: nothing.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        OSError: If a file is missing.
        ValueError: If one cannot be read, or the tensors are not those of the network.
    """
    if path.is_dir():
        weights = _read_state(path / WEIGHTS_FILE)
        flat = read_json_object(path / CONFIG_FILE)
    else:
        weights = _read_state(path)
        flat = _sizes_of_tensors(path, weights, classes)
        for name, value in (told(str(flat["kind"])) if told else {}).items():
            flat[name] = flat.get(name, {}) | value if isinstance(value, dict) else value
    if flat.get("kind") not in classes:
        known = ", ".join(classes)
        raise ValueError(f"{path} has kind {flat.get('kind')!r}, known are {known}")
    kind = str(flat["kind"])
    try:
        with without_weights():
            model = classes[kind].from_dict(flat)
    except (KeyError, TypeError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise ValueError(
            f"{path / CONFIG_FILE} is no configuration of a {kind} ({error}): copy it again"
        ) from error
    assign_weights(path, model, weights)
    return model.eval()


def save_part(folder: Path, flat: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Write a folder that `load_part` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(flat, indent=2, sort_keys=True) + "\n"
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
    kept = {name: one.detach().cpu().contiguous() for name, one in weights.items()}
    save_file(kept, folder / WEIGHTS_FILE, metadata={"format": "pt"})


def _sizes_of_tensors(
    path: Path, weights: Mapping[str, Tensor], classes: Mapping[str, PartClass[Part]]
) -> dict[str, Any]:
    for one in classes.values():
        try:
            return one.sizes_of(weights)
        except (KeyError, IndexError, ZeroDivisionError):
            continue
    raise ValueError(
        f"{path} has no tensors of any of {', '.join(classes)}: give the file of one of these"
    )


def _read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file in float32, under the names of the networks here."""
    state = read_state_dict(path, torch.float32)
    return {new: tensor for name, tensor in state.items() if (new := _present_name(name))}


def _present_name(name: str) -> str | None:
    """The name of a tensor in present files; None for one of a discriminator.

    Files of GAN training hold generator and discriminators. Older files spell the two tensors of a
    normalized weight differently.
    """
    if name.startswith("discriminator."):
        return None
    name = name.removeprefix("generator.")
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        if name.endswith(f".{old}"):
            return name.removesuffix(old) + f"parametrizations.weight.{new}"
    return name


def known(flat: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """Those entries of a configuration that are fields of a dataclass."""
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in flat.items() if name in names}


def count(weights: Mapping[str, Tensor], name: str) -> int:
    """How many tensors there are whose names have the numbers from 0 on in them."""
    number = 0
    while name.format(number) in weights:
        number += 1
    return number
