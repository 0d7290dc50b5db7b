"""The choice of a precision by device, and refused precisions."""

import pytest
import torch

from sled.fast import PRECISIONS, choose_precision, make_fast, precision
from sled.files.extras import install_command
from sled.model.config import Config
from sled.model.lm import num_parameters
from tests.debug import debug_config, debug_model

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))
LARGE = num_parameters(Config())  # the published size


@pytest.fixture
def machine(monkeypatch):
    """Sets the capabilities of the machine."""

    def configure(
        *,
        kernels: bool = False,
        runtime: bool = False,
        cpu_bf16: bool = False,
        gpu_bf16: bool = False,
    ):
        monkeypatch.setattr(precision, "kernel_level", lambda: "avx2" if kernels else None)
        monkeypatch.setattr(precision, "can_run", lambda sizes: kernels)
        monkeypatch.setattr(precision, "has_runtime", lambda: runtime)
        monkeypatch.setattr(precision, "_multiplies_bfloat16", lambda: cpu_bf16)
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation=True: gpu_bf16
        )

    return configure


@pytest.mark.parametrize(
    ("has", "device", "expected"),
    [
        ({"runtime": True, "cpu_bf16": True}, CPU, "int8"),
        ({"kernels": True, "cpu_bf16": True}, CPU, "int8"),
        ({"cpu_bf16": True}, CPU, "bfloat16"),
        ({}, CPU, "float32"),
        ({"gpu_bf16": True, "runtime": True}, CUDA, "bfloat16"),
        ({}, CUDA, "float16"),
        ({"runtime": True}, MPS, "float32"),
    ],
)
def test_a_large_model_speaks_in_the_fastest_precision(machine, has, device, expected):
    machine(**has)
    assert choose_precision(LARGE, device) == expected


@pytest.mark.parametrize("device", [CPU, CUDA, MPS])
def test_a_small_model_speaks_in_float32(machine, device):
    machine(runtime=True, cpu_bf16=True, gpu_bf16=True)
    assert choose_precision(num_parameters(debug_config()), device) == "float32"


def test_a_warning_names_the_extra_for_int8(machine, caplog):
    machine()
    choose_precision(LARGE, CPU)
    assert install_command("fast") in caplog.text


def test_the_instructions_of_this_cpu_can_be_read():
    assert precision._multiplies_bfloat16() in (True, False)


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_few_bits_need_the_runtime_and_a_cpu(machine, dtype):
    machine()
    with pytest.raises(ValueError, match="needs onnx and onnxruntime"):
        make_fast(debug_model(), dtype)
    machine(runtime=True)
    with pytest.raises(ValueError, match="on CPUs only"):
        make_fast(debug_model().to("meta"), dtype)


def test_an_unknown_precision_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=f"dtype='int3': choose one of {', '.join(PRECISIONS)}"):
        make_fast(debug_model(), "int3")
