"""Opens networks that are published as ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sled.files.extras import install_command

CUDA_PROVIDER, CPU_PROVIDER = "CUDAExecutionProvider", "CPUExecutionProvider"


def onnx_providers(device: str) -> list[Any]:
    """What ONNX Runtime computes with on a device, `cpu`, `cuda` or for example `cuda:1`.

    Raises:
        ValueError: If it is not installed, or cannot use the device.
    """
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return [CPU_PROVIDER]
    if kind != "cuda" or CUDA_PROVIDER not in _onnxruntime("ONNX").get_available_providers():
        needed = ": install onnxruntime-gpu instead of onnxruntime" if kind == "cuda" else ""
        raise ValueError(f"device {device} is none that ONNX Runtime can use here{needed}: try cpu")
    # What has no kernel for a GPU is computed on the CPU.
    return [(CUDA_PROVIDER, {"device_id": int(number or 0)}), CPU_PROVIDER]


def open_onnx(path: Path, threads: int = 1, device: str = "cpu") -> Any:
    """Open an ONNX file in ONNX Runtime.

    Args:
        path: The file.
        threads: Threads that it computes on.
        device: See `onnx_providers`.

    Returns:
        An `onnxruntime.InferenceSession`.

    Raises:
        ValueError: If there is no such file, it is damaged, ONNX Runtime is not installed, or it
            cannot use the device.
    """
    onnxruntime = _onnxruntime(str(path))
    if not path.is_file():
        raise ValueError(f"no ONNX file at {path}: check the path")
    providers = onnx_providers(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors only
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # its exceptions have no common base
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{path} is no ONNX file that can be run ({reason}): copy it again"
        ) from error
    # Without the libraries of CUDA it goes on with the CPU.
    if device != "cpu" and CUDA_PROVIDER not in session.get_providers():
        raise ValueError(
            f"device {device}: ONNX Runtime cannot load the libraries of CUDA: install those that "
            "belong to it, or try cpu"
        )
    return session


def _onnxruntime(name: str) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError(f"{name} needs ONNX Runtime: run {install_command('tokens')}") from error
    return onnxruntime


def describe_interface(session: Any) -> str:
    """Describe the inputs and outputs of a session, for messages."""

    def describe(one: Any) -> str:
        return f"{one.name} {one.type.removeprefix('tensor')} {one.shape}"

    inputs, outputs = (
        ", ".join(map(describe, ones)) for ones in (session.get_inputs(), session.get_outputs())
    )
    return f"inputs {inputs}; outputs {outputs}"
