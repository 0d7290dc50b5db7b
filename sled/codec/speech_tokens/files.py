"""Files of speech tokenizers: published ONNX files, and folders with a PyTorch network."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from safetensors.torch import save_file

from sled.codec.speech_tokens.network import TokenizerNetwork, TokenizerSizes
from sled.codec.speech_tokens.tokenizer import NetworkTokenizer, OnnxTokenizer, SpeechTokenizer
from sled.files.checkpoint import CONFIG_FILE, WEIGHTS_FILE, assign_weights, read_weights
from sled.files.json_object import read_json_object

# As published model folders name them; the newer first.
PUBLISHED_FILES = ("speech_tokenizer_v2.onnx", "speech_tokenizer_v1.onnx")

_KIND = re.compile(r"speech_tokenizer_v([12])_(25|50)hz")


def load_speech_tokenizer(
    path: Path | str, device: str = "cpu", threads: int = 1
) -> SpeechTokenizer:
    """Load a speech tokenizer.

    Args:
        path: An ONNX file, a folder that `save_tokenizer` wrote, or a published model folder with
            `speech_tokenizer_v2.onnx` or `speech_tokenizer_v1.onnx`.
        device: Device to run on.
        threads: Threads that ONNX Runtime computes on.

    Raises:
        ValueError: If there is none, or it cannot be used.
    """
    path = Path(path)
    files = tokenizer_files(path)
    if is_tokenizer_network(files):
        return NetworkTokenizer(load_tokenizer_network(path), device)
    return OnnxTokenizer(files[0], threads, device)


def tokenizer_files(path: Path) -> list[Path]:
    """Find the files of a speech tokenizer: one ONNX file, or a configuration and weights.

    Raises:
        ValueError: If there is none.
    """
    if path.is_file():
        return [path]
    own = [path / CONFIG_FILE, path / WEIGHTS_FILE]
    published = (path / name for name in PUBLISHED_FILES)
    if all(file.is_file() for file in own):
        return own
    for file in published:
        if file.is_file():
            return [file]
    raise ValueError(
        f"no speech tokenizer at {path}: name a file such as {PUBLISHED_FILES[0]}, or a folder "
        f"with {CONFIG_FILE} and {WEIGHTS_FILE}"
    )


def is_tokenizer_network(files: Sequence[Path]) -> bool:
    """Whether files of `tokenizer_files` are a network in PyTorch; otherwise it is an ONNX file."""
    return files[0].name == CONFIG_FILE


def load_tokenizer_network(folder: Path) -> TokenizerNetwork:
    """Load the PyTorch network in a folder, in evaluation mode.

    Raises:
        OSError: If a file is missing.
        ValueError: If the configuration cannot be read, or the tensors are not those of it.
    """
    network = TokenizerNetwork(read_sizes(folder / CONFIG_FILE))
    assign_weights(folder, network, read_weights(folder))
    return network.eval()


def read_sizes(path: Path) -> TokenizerSizes:
    """Read the sizes of a network from its configuration.

    Raises:
        OSError: If there is no such file.
        ValueError: If it is no configuration of a speech tokenizer.
    """
    config = read_json_object(path)
    kind = _KIND.fullmatch(str(config.pop("kind", "")))
    known = {field.name for field in fields(TokenizerSizes)} - {"version", "first_stride"}
    if kind is None or not config.keys() <= known or not _are_numbers(config):
        raise ValueError(
            f"{path} is no configuration of a speech tokenizer: it needs a kind such as "
            f"speech_tokenizer_v2_25hz, and whole numbers for some of {', '.join(sorted(known))}"
        )
    version, rate = map(int, kind.groups())
    return TokenizerSizes(version=version, first_stride=50 // rate, **config)


def _are_numbers(config: dict[str, object]) -> bool:
    return all(type(value) is int and value > 0 for value in config.values())


def save_tokenizer(network: TokenizerNetwork, folder: Path | str) -> None:
    """Write a network and its configuration into a folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, object] = asdict(network.sizes)
    version, stride = config.pop("version"), network.sizes.first_stride
    del config["first_stride"]
    config["kind"] = f"speech_tokenizer_v{version}_{50 // stride}hz"
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, folder / WEIGHTS_FILE, metadata={"format": "pt"})
