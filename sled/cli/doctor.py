"""Show what is installed and what will be used, and speak a sentence with the default model.

There is one line for each: versions, extras (with the command that installs a missing one), device,
what each bundled model and one of the published size would run as on it, and the spoken sentence.
The exit status is 1 if speaking fails.
"""

from __future__ import annotations

import argparse
import platform
import re
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from sled.bundled import BUNDLED_MODELS, DEFAULT_MODEL
from sled.files.extras import extra_requirements, install_command

EXAMPLE = "sled doctor"

# Of the required packages, those whose versions matter most.
LIBRARIES = ("torch", "transformers", "tokenizers", "lhotse", "numpy")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled doctor`."""
    parser.add_argument(
        "--kernels",
        action="store_true",
        help="measure a step of these models in each precision, and keep that for `--dtype auto`",
    )


def run(args: argparse.Namespace) -> int:
    """Print the lines; the exit status is 0 if speaking works."""
    try:
        for topic, finding in (*describe_packages(), *describe_hardware(args.kernels)):
            _print(topic, finding)
        _print("speech", speak_example())
    except (ImportError, RuntimeError, ValueError, OSError) as error:
        _print("FAILED", " ".join(str(error).split()))
        return 1
    return 0


def describe_packages() -> Iterator[tuple[str, str]]:
    """Versions of sled and its libraries, and what is installed of each extra."""
    system = f"{platform.system()} {platform.machine()}"
    yield (
        "sled",
        f"{_version('sled') or 'not installed'}, Python {platform.python_version()}, {system}",
    )
    yield "libraries", ", ".join(f"{name} {_version(name) or 'missing'}" for name in LIBRARIES)
    for extra, requirements in extra_requirements().items():
        names = re.findall(r"^[\w.-]+", "\n".join(requirements), flags=re.MULTILINE)
        versions = {name: _version(name) for name in names}
        missing = [name for name, number in versions.items() if number is None]
        if missing:
            remedy = install_command(extra)
            yield f"extra {extra}", f"missing {', '.join(missing)}: {remedy}"
        else:
            yield (
                f"extra {extra}",
                ", ".join(f"{name} {number}" for name, number in versions.items()),
            )


def describe_hardware(measure: bool = False) -> Iterator[tuple[str, str]]:
    """The device that `--device auto` takes, and what `--dtype auto` takes on it for a model.

    Args:
        measure: Whether to measure the precisions, if the device is a CPU.
    """
    import torch

    from sled.cli.device import choose_device
    from sled.fast import choose_precision
    from sled.fast.precision import measure_forms
    from sled.files.cpu import cpu_name
    from sled.model.config import Config
    from sled.model.lm import num_parameters

    device = torch.device(choose_device("auto"))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    threads = f"{torch.get_num_threads()} threads"
    yield "device", ", ".join(filter(None, [device.type, name, threads]))
    configs = {f"model {one}": Config.load(model.folder) for one, model in BUNDLED_MODELS.items()}
    configs["published size"] = Config()
    for name, config in configs.items():
        count = num_parameters(config)
        times = measure_forms(config) if measure and device.type == "cpu" else {}
        precision = choose_precision(count, device, config, measure=False)
        form = describe_form(precision, device.type)
        measured = "".join(f"; {one} {ms:.2f} ms a step" for one, ms in times.items())
        yield name, f"{count / 1e6:.0f} M parameters: {precision}, {form}{measured}"


def describe_form(precision: str, device: str) -> str:
    """How a model of this precision runs on a device."""
    from sled.fast.native import kernel_level

    level = kernel_level() if device == "cpu" and precision in ("float32", "int8", "int4") else None
    if level is not None:
        return f"compiled kernels for {level.upper()}"
    if precision == "int8":
        return "ONNX Runtime"
    return "PyTorch with CUDA graphs" if device == "cuda" else "PyTorch with fused projections"


def speak_example() -> str:
    """Let the default model speak its example; says how long it took."""
    from sled.cli.device import choose_device
    from sled.tts import TTS

    start = time.perf_counter()
    tts = TTS.from_pretrained(device=choose_device("auto"))
    loaded = time.perf_counter()
    speech = tts.say(BUNDLED_MODELS[DEFAULT_MODEL].example)
    elapsed_s = time.perf_counter() - loaded
    if not speech.seconds:
        raise ValueError(f"the model {DEFAULT_MODEL} says nothing: install sled again")
    return (
        f"model {DEFAULT_MODEL} loaded in {loaded - start:.1f} s; {speech.seconds:.1f} s of audio "
        f"in {elapsed_s:.1f} s, real-time factor {elapsed_s / speech.seconds:.2f}"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _print(topic: str, finding: str) -> None:
    print(f"{topic:15s} {finding}", flush=True)
