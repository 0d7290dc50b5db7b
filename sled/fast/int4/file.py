"""The file of weights in four bits beside a checkpoint.

It holds, for each rounded matrix [N, K] of the checkpoint, by its name NAME there:

    NAME.codes   uint8 [N, ceil(K / 2)]: a code from 0 to 15 in each half of a byte, that of the
                 first input in the lower half
    NAME.scales  float32 [N, ceil(K / group)]: the scale of each group of consecutive inputs

A weight is (code - 8) * scale. The metadata of the file has `group`, and `weights`, a digest of the
weights of the checkpoint that they were made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sled.fast.int4.matrix import Int4Matrix
from sled.fast.int4.rounding import layer_matrices
from sled.files.digest import tensor_digest
from sled.files.whole import write_whole
from sled.model.lm import SpeechLM

INT4_FILE = "int4.safetensors"


def write_int4(folder: Path, model: SpeechLM, matrices: Mapping[str, Int4Matrix]) -> Path:
    """Write rounded matrices into the folder of a checkpoint; return the file.

    Args:
        folder: The folder.
        model: The model of the checkpoint.
        matrices: As `round_layers` returns them.
    """
    (group,) = {one.group for one in matrices.values()}
    tensors: dict[str, Tensor] = {}
    for name, one in matrices.items():
        tensors |= {f"{name}.codes": _pack(one.codes), f"{name}.scales": one.scales.contiguous()}
    metadata = {"format": "pt", "group": str(group), "weights": _digest(model)}
    path = folder / INT4_FILE
    content = save(tensors, metadata)
    write_whole(path, lambda partial: partial.write_bytes(content))
    return path


def read_int4(folder: Path, model: SpeechLM) -> dict[str, Int4Matrix]:
    """Read the rounded matrices of a checkpoint.

    Args:
        folder: Its folder.
        model: Its model, to see whether they are of these weights.

    Raises:
        ValueError: If there is no such file, it cannot be read, or is of other weights.
    """
    path = folder / INT4_FILE
    remedy = f"run sled quantize --model {folder} --texts FILE"
    if not path.is_file():
        raise ValueError(f"{folder} has no weights in int4: {remedy}")
    matrices = {}
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("weights") != _digest(model):
                raise ValueError(f"{path} is of other weights than the checkpoint: {remedy}")
            group = int(metadata["group"])
            if group < 8 or group % 8:
                raise ValueError(f"{path} has groups of {group}, no multiple of 8: {remedy}")
            for name, linear in layer_matrices(model):
                codes, scales = file.get_tensor(f"{name}.codes"), file.get_tensor(f"{name}.scales")
                outputs, inputs = linear.weight.shape
                shapes = ((outputs, -(-inputs // 2)), (outputs, -(-inputs // group)))
                types = (codes.dtype, scales.dtype)
                if (codes.shape, scales.shape) != shapes or types != (torch.uint8, torch.float32):
                    raise ValueError(f"{path} does not fit the model: {remedy}")
                matrices[name] = Int4Matrix(_unpack(codes, inputs), scales.clone(), group)
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"cannot read {path} ({error}): {remedy}") from error
    return matrices


def _digest(model: SpeechLM) -> str:
    """A digest that any change of the matrices changes, without reading all of them."""
    return tensor_digest((name, one.weight[0].float()) for name, one in layer_matrices(model))


def _pack(codes: Tensor) -> Tensor:
    pairs = F.pad(codes, (0, codes.shape[1] % 2))
    return pairs[:, ::2] | (pairs[:, 1::2] << 4)


def _unpack(packed: Tensor, inputs: int) -> Tensor:
    return torch.stack((packed & 15, packed >> 4), 2).flatten(1)[:, :inputs]
