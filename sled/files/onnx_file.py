"""Opens networks that are published as ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sled.files.extras import install_command


def open_onnx(path: Path, threads: int = 1) -> Any:
    """Open an ONNX file in ONNX Runtime on the CPU.

    Args:
        path: The file.
        threads: Threads that it computes on.

    Returns:
        An `onnxruntime.InferenceSession`.

    Raises:
        ValueError: If there is no such file, it is damaged, or ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError(f"{path} needs ONNX Runtime: run {install_command('tokens')}") from error
    if not path.is_file():
        raise ValueError(f"no ONNX file at {path}: check the path")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors only
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{path} is no ONNX file that can be run ({reason}): copy it again"
        ) from error


def describe_interface(session: Any) -> str:
    """Describe the inputs and outputs of a session, for messages."""

    def describe(one: Any) -> str:
        return f"{one.name} {one.type.removeprefix('tensor')} {one.shape}"

    inputs, outputs = (
        ", ".join(map(describe, ones)) for ones in (session.get_inputs(), session.get_outputs())
    )
    return f"inputs {inputs}; outputs {outputs}"
