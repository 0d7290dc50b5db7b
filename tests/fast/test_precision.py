"""The choice of a precision by device, and refused precisions."""

import pytest
import torch

from sled.fast import PRECISIONS, choose_precision, make_fast, precision
from sled.fast.measured import time_forms
from sled.files.extras import install_command
from sled.model.config import Architecture, Config
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


@pytest.fixture
def timed(monkeypatch, tmp_path):
    """Sets the times that are measured; records the forms that were timed, in an own cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked: list[list[str]] = []

    def configure(**times: float):
        def time_forms(config, names, convert):
            asked.append(list(names))
            return {name: times[name] for name in names}

        monkeypatch.setattr(precision, "time_forms", time_forms)
        return asked

    return configure


@pytest.mark.parametrize(
    ("has", "times", "expected"),
    [
        ({"kernels": True}, {"float32": 3, "int8": 2}, "int8"),
        ({"kernels": True}, {"float32": 2, "int8": 3}, "float32"),
        ({"runtime": True, "cpu_bf16": True}, {"float32": 3, "bfloat16": 1, "int8": 2}, "bfloat16"),
    ],
)
def test_a_large_model_on_a_cpu_speaks_in_what_was_measured_to_be_fastest(
    machine, timed, has, times, expected
):
    machine(**has)
    asked = timed(**times)
    for _ in range(2):  # the second time, it is known
        assert choose_precision(LARGE, CPU, Config()) == expected
    assert asked == [list(times)]


def test_what_was_measured_is_of_these_sizes_and_this_machine(machine, timed, monkeypatch):
    machine(kernels=True)
    asked = timed(float32=2, int8=1)
    other = Config()
    other.architecture.intermediate_size += 64
    for config in (Config(), other, Config()):
        choose_precision(LARGE, CPU, config)
    assert len(asked) == 2
    monkeypatch.setattr(precision, "cpu_name", lambda: "another")
    choose_precision(LARGE, CPU, Config())
    assert len(asked) == 3


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"of": 1, "ms": {}}', "\x00"])
def test_a_damaged_measurement_is_made_again(machine, timed, tmp_path, content):
    machine(kernels=True)
    asked = timed(float32=2, int8=1)
    choose_precision(LARGE, CPU, Config())
    (file,) = (tmp_path / "sled").iterdir()
    file.write_text(content)
    assert choose_precision(LARGE, CPU, Config()) == "int8"
    assert choose_precision(LARGE, CPU, Config()) == "int8"
    assert len(asked) == 2


def test_what_cannot_be_kept_is_used_all_the_same(machine, timed, tmp_path):
    machine(kernels=True)
    asked = timed(float32=1, int8=2)
    (tmp_path / "sled").write_text("not a folder")
    assert choose_precision(LARGE, CPU, Config()) == "float32"
    assert choose_precision(LARGE, CPU, Config(), measure=False) == "int8"
    assert len(asked) == 1


def test_forms_are_timed_for_the_sizes_of_a_model():
    config = debug_config()
    times = time_forms(config, ["float32", "bfloat16"], make_fast)
    assert times.keys() == {"float32", "bfloat16"}
    assert all(ms > 0 for ms in times.values())


@pytest.mark.parametrize(
    ("has", "device", "expected"),
    [
        ({"runtime": True, "kernels": True}, CPU, "float32"),
        ({"cpu_bf16": True}, CPU, "bfloat16"),
        ({}, CPU, "float32"),
        ({"gpu_bf16": True, "runtime": True}, CUDA, "bfloat16"),
        ({}, CUDA, "float16"),
        ({"runtime": True}, MPS, "float32"),
    ],
)
def test_a_large_model_of_ids_speaks_without_rounded_weights(machine, has, device, expected):
    machine(**has)
    assert choose_precision(LARGE, device) == expected


@pytest.mark.parametrize("device", [CPU, CUDA, MPS])
def test_a_small_model_speaks_in_float32(machine, device):
    machine(runtime=True, cpu_bf16=True, gpu_bf16=True)
    assert choose_precision(num_parameters(debug_config()), device, debug_config()) == "float32"


def test_a_warning_names_the_extra_for_int8(machine, caplog):
    machine()
    choose_precision(LARGE, CPU, Config())
    assert install_command("fast") in caplog.text


@pytest.mark.parametrize("changes", [{"head": "flow"}, {"head_dim": 24}])
def test_int8_is_neither_taken_nor_named_where_a_model_cannot_have_it(machine, caplog, changes):
    config = Config(Architecture(**changes))
    for runtime in (True, False):
        machine(runtime=runtime)
        assert choose_precision(LARGE, CPU, config) == "float32"
    assert not caplog.text


def test_the_instructions_of_this_cpu_can_be_read():
    assert precision._multiplies_bfloat16() in (True, False)


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_few_bits_need_a_cpu(machine, dtype):
    machine(runtime=True)
    with pytest.raises(ValueError, match="on CPUs only"):
        make_fast(debug_model().to("meta"), dtype)


def test_few_bits_need_what_computes_with_them(machine):
    machine()
    with pytest.raises(ValueError, match="needs onnx and onnxruntime"):
        make_fast(debug_model(), "int8")
    with pytest.raises(ValueError, match="int4 needs the compiled kernels"):
        make_fast(debug_model(), "int4")
    machine(kernels=True)
    with pytest.raises(ValueError, match="needs the matrices of the layers"):
        make_fast(debug_model(), "int4")


def test_an_unknown_precision_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=f"dtype='int3': choose one of {', '.join(PRECISIONS)}"):
        make_fast(debug_model(), "int3")
