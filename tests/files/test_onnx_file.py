"""The device that ONNX Runtime computes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch

from sled.cli.device import choose_onnx_device
from sled.files.onnx_file import CPU_PROVIDER, CUDA_PROVIDER, open_onnx
from tests.commands import run
from tests.data.tokens.corpora import make_folder


class Session:
    """As that of ONNX Runtime; it goes on with the CPU if `loads` is false."""

    loads = True

    def __init__(self, path: str, options: Any, providers: list[Any]) -> None:
        self.providers = providers

    def get_providers(self) -> list[str]:
        return [CUDA_PROVIDER, CPU_PROVIDER] if self.loads else [CPU_PROVIDER]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> type[Session]:
    """An ONNX Runtime that offers CUDA."""

    class Own(Session):
        pass

    offered = [CUDA_PROVIDER, CPU_PROVIDER]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Own)
    return Own


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "network.onnx").write_bytes(b"graph")
    return tmp_path / "network.onnx"


def test_a_gpu_that_is_offered_is_used(
    gpu: type[Session], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_onnx_device("auto") == "cuda" and choose_onnx_device("cuda:1") == "cuda:1"
    assert choose_onnx_device("cpu") == "cpu"
    for device, number in (("cuda", 0), ("cuda:1", 1)):
        (name, settings), last = open_onnx(file, device=device).providers
        assert (name, settings["device_id"], last) == (CUDA_PROVIDER, number, CPU_PROVIDER)
    assert open_onnx(file).providers == [CPU_PROVIDER]
    gpu.loads = False
    with pytest.raises(ValueError, match="cannot load the libraries of CUDA"):
        open_onnx(file, device="cuda")
    assert open_onnx(file).providers == [CPU_PROVIDER]


def test_a_build_for_gpus_computes_on_the_cpu_where_there_is_none(
    gpu: type[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_onnx_device("auto") == "cpu"


def test_a_gpu_that_is_not_offered_is_refused(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU_PROVIDER])
    assert choose_onnx_device("auto") == "cpu"
    for device in ("cuda", "mps"):
        with pytest.raises(ValueError, match=f"^--device {device} is none that ONNX Runtime"):
            choose_onnx_device(device)
        with pytest.raises(ValueError, match=f"^device {device} is none"):
            open_onnx(file, device=device)


@pytest.mark.parametrize("what", ["tokens --tokenizer", "embeddings --encoder"])
def test_commands_do_not_ignore_the_device(
    what: str, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU_PROVIDER])
    folder = make_folder(file.parent / "data", count=1, tables=False)
    command, flag = what.split()
    assert run(f"cache {command}", "--input", folder, flag, file, "--device", "cuda") == 2
    error = capsys.readouterr().err
    assert "--device cuda is none that ONNX Runtime can use here" in error
    assert error.count("\n") == 1
