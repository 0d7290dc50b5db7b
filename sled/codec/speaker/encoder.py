"""Speaker encoders: published ONNX files, and CAM++ in PyTorch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Tensor
from typing_extensions import override

from sled.codec.features import SPEAKER_MELS, speaker_features
from sled.codec.speaker.network import SpeakerNetwork, SpeakerSizes
from sled.files.checkpoint import assign_weights
from sled.files.onnx_file import describe_interface, open_onnx
from sled.files.state_dict import read_state_dict
from sled.files.without_weights import without_weights

PUBLISHED_FILE = "campplus.onnx"

_PROBE_FRAMES = 200


class SpeakerEncoder(ABC):
    """Maps recordings to speaker vectors.

    Attributes:
        width: Width of the vectors.
    """

    width: int

    @abstractmethod
    def encode_features(self, features: Tensor) -> Tensor:
        """Return the speaker vector [width] of `speaker_features` [F, 80], not normalised."""

    def encode(self, waveform: Tensor) -> Tensor:
        """Return the speaker vector [width] of a waveform [S] at 16 kHz, not normalised.

        Raises:
            ValueError: If the waveform is shorter than 25 ms.
        """
        return self.encode_features(speaker_features(waveform))


class OnnxSpeakerEncoder(SpeakerEncoder):
    """An encoder as it is published: an ONNX file from features [1, F, 80] to a vector.

    Args:
        path: The file.
        threads: Threads that it computes on.
        device: Device to run on.

    Raises:
        ValueError: If the file cannot be run, or has another interface.
    """

    def __init__(self, path: Path, threads: int = 1, device: str = "cpu") -> None:
        self._session = open_onnx(path, threads, device)
        try:
            probe = self.encode_features(torch.zeros(_PROBE_FRAMES, SPEAKER_MELS))
            if len(self._session.get_inputs()) != 1 or len(probe) >= _PROBE_FRAMES * SPEAKER_MELS:
                raise ValueError
        except Exception as error:  # those of ONNX Runtime have no common base
            raise ValueError(
                f"{path} is no speaker encoder ({describe_interface(self._session)}): it must map "
                f"features [1, frames, {SPEAKER_MELS}] to one vector"
            ) from error
        self.width = len(probe)

    @override
    def encode_features(self, features: Tensor) -> Tensor:
        [features_input, *_] = self._session.get_inputs()
        inputs = {features_input.name: features[None].numpy()}
        [vector, *_] = self._session.run(None, inputs)
        return torch.from_numpy(vector).flatten()


class NetworkSpeakerEncoder(SpeakerEncoder):
    """CAM++ in PyTorch.

    Args:
        network: The network.
        device: Device to run on.
    """

    def __init__(self, network: SpeakerNetwork, device: str = "cpu") -> None:
        self.network, self.device = network.to(device).eval(), device
        self.width = network.sizes.embedding_size

    @override
    @torch.inference_mode()
    def encode_features(self, features: Tensor) -> Tensor:
        vector: Tensor = self.network(features[None].to(self.device))[0].cpu()
        return vector


def load_speaker_encoder(path: Path, device: str = "cpu", threads: int = 1) -> SpeakerEncoder:
    """Load a speaker encoder.

    Args:
        path: An ONNX file, a file with the tensors of CAM++ (.pt or .safetensors), or a published
            model folder with `campplus.onnx`.
        device: Device to run on.
        threads: Threads that ONNX Runtime computes on.

    Raises:
        ValueError: If there is none, or it cannot be used.
    """
    path = speaker_encoder_file(path)
    if not is_speaker_network(path):
        return OnnxSpeakerEncoder(path, threads, device)
    if not path.is_file():
        raise ValueError(f"no speaker encoder at {path}: check the path")
    return NetworkSpeakerEncoder(load_speaker_network(path), device)


def speaker_encoder_file(path: Path) -> Path:
    """Find the file of a speaker encoder: the path itself, or `campplus.onnx` in a folder."""
    return path / PUBLISHED_FILE if path.is_dir() else path


def is_speaker_network(file: Path) -> bool:
    """Whether a file has the tensors of a network in PyTorch; otherwise it is an ONNX file."""
    return file.suffix in (".pt", ".safetensors")


def load_speaker_network(path: Path) -> SpeakerNetwork:
    """Load CAM++ from a file of its tensors, in evaluation mode.

    Raises:
        OSError: If there is no such file.
        ValueError: If it cannot be read, or the tensors are others.
    """
    state = read_state_dict(path)
    try:
        sizes = SpeakerSizes.of_state(state)
        with without_weights():
            network = SpeakerNetwork(sizes)
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{path} holds no tensors of CAM++ ({error}): copy it again") from error
    assign_weights(path, network, state)
    return network.eval()
