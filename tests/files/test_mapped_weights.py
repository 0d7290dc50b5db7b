"""Tensors of a checkpoint mapped into memory: as stored, and given back when they are packed."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sled.fast import loading_dtype, make_fast
from sled.fast.int4 import round_layers
from sled.files.checkpoint import WEIGHTS_FILE, map_weights, read_weights
from sled.model.registry import load_speech_lm
from tests.debug import debug_checkpoint, randn
from tests.fast.forms import NEEDS_KERNELS, SIZES

TENSORS = {
    "matrix": randn(70, 33),
    "a": randn(3, seed=1).half(),  # what follows begins inside of a page, at no multiple of 4
    "vector": randn(5, seed=2),
    "half": randn(2, 3, 5).bfloat16(),
    "number": torch.tensor(7),
    "bytes": torch.arange(256).to(torch.uint8),
    "signs": torch.arange(-3, 4).to(torch.int8),
    "nothing": torch.zeros(0, 4),
    "truth": torch.tensor([True, False]),
}


@pytest.fixture
def folder(tmp_path) -> Path:
    save_file(TENSORS, tmp_path / WEIGHTS_FILE, metadata={"format": "pt"})
    return tmp_path


def test_mapped_tensors_are_those_of_the_file(folder):
    mapped = map_weights(folder)
    wanted = load_file(folder / WEIGHTS_FILE)
    assert mapped.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert mapped[name].dtype == tensor.dtype
        assert mapped[name].equal(tensor)


def test_what_is_written_to_one_stays_out_of_the_file(folder):
    before = (folder / WEIGHTS_FILE).read_bytes()
    mapped = map_weights(folder)
    mapped["matrix"].fill_(1.0)
    assert mapped["matrix"].sum() == mapped["matrix"].numel()
    assert (folder / WEIGHTS_FILE).read_bytes() == before


@pytest.mark.parametrize("read", [map_weights, read_weights])
@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:20], lambda _: b""])
def test_a_damaged_file_is_refused(folder, read, damage):
    path = folder / WEIGHTS_FILE
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"cannot read model.safetensors"):
        read(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize(
    "precision",
    [
        pytest.param("int8", marks=NEEDS_KERNELS),
        pytest.param("int4", marks=NEEDS_KERNELS),
        "float32",
    ],
)
def test_a_fast_form_does_not_need_the_file(tmp_path, precision):
    """A file that is replaced later must not change what is said."""

    def mappings() -> int:
        return Path("/proc/self/maps").read_text().count(str(tmp_path))

    loaded = load_speech_lm(debug_checkpoint(tmp_path / "m", **SIZES), loading_dtype(precision))
    assert (mappings() > 0) == (precision != "float32")
    int4 = round_layers(loaded) if precision == "int4" else None
    fast = make_fast(loaded, precision, int4=int4)
    del loaded
    assert mappings() == 0
    assert fast.parameter_count > 0
