"""A stand-in for a GPU without float64, as Apple's: tensors that say they are there, on the CPU.

Operations whose tensors are partly there and partly on the CPU are refused, as a GPU refuses them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map
from typing_extensions import override

from sled.codec import exact

# A kind of devices that PyTorch knows by name, and that needs no driver.
DEVICE = "lazy"

aten = torch.ops.aten
# They may have indices on the CPU, or move their tensors.
_MIXING = {aten.index.Tensor, aten.index_put_.default, aten.copy_.default, aten._to_copy.default}


class _There(Tensor):
    """A tensor that says it is on the device."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> _There:
        if held.dtype == torch.float64:
            raise TypeError("the device has no float64")
        made = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.shape, held.stride(), dtype=held.dtype, device=DEVICE
        )
        assert isinstance(made, _There)
        made.held = held
        return made

    @classmethod
    @override
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    @override
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@contextmanager
def device_without_float64(known: bool = True) -> Iterator[str]:
    """A device without float64; the name of it.

    Args:
        known: Whether the code knows that it has none.
    """
    with pytest.MonkeyPatch.context() as patch, _Mode(), torch.no_grad():
        patch.setattr(exact, "WITHOUT_FLOAT64", {DEVICE} if known else set())
        patch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it has none
        yield DEVICE


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, Tensor)]
    there = [isinstance(one, _There) for one in tensors]
    on_cpu = any(not on and one.ndim for one, on in zip(tensors, there, strict=True))
    if func not in _MIXING and any(there) and on_cpu:
        raise RuntimeError(f"{func} of tensors on two devices")
    ends_there = there[0] if func == aten.copy_.default else any(there)
    if (device := kwargs.get("device")) is not None:
        ends_there = torch.device(device).type == DEVICE
        kwargs = kwargs | {"device": torch.device("cpu")}
    held_args, held_kwargs = tree_map(
        lambda one: one.held if isinstance(one, _There) else one, (args, kwargs)
    )
    with _disable_current_modes():
        made = func(*held_args, **held_kwargs)
    if not ends_there:
        return made
    if func._schema.is_mutable and isinstance(made, Tensor):
        return args[0]
    return tree_map(lambda one: _There(one) if isinstance(one, Tensor) else one, made)
