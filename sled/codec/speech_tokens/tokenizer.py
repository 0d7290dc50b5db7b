"""Speech tokenizers as extraction and training use them: waveforms in, tokens out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from typing_extensions import override

from sled.codec.features import TOKENIZER_MELS, tokenizer_features
from sled.codec.speech_tokens.network import TokenizerNetwork
from sled.files.onnx_file import describe_interface, open_onnx

FRAME_RATE = 100
# The networks were trained on clips up to 30 s. Longer ones are encoded in windows.
WINDOW_S, OVERLAP_S = 30, 4

_PROBE_FRAMES = 400


class SpeechTokenizer(ABC):
    """A speech tokenizer.

    Attributes:
        token_rate: Tokens per second.
        vocab_size: Number of different tokens. None: not known.
        n_mels: Mel bands that it reads.
    """

    token_rate: float
    vocab_size: int | None
    n_mels: int

    @abstractmethod
    def encode_features(self, mels: Sequence[Tensor]) -> list[Tensor]:
        """Return the tokens [T] of mel spectrograms [M, F] of at most 30 s."""

    def encode(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        """Return the tokens [T] of waveforms [S] at 16 kHz.

        A waveform over 30 s is encoded in windows of 30 s that overlap by 4 s; of an overlap, each
        window gives the half on its side.
        """
        windows: list[Tensor] = []
        counts: list[int] = []
        for waveform in waveforms:
            own = _windows(tokenizer_features(waveform, self.n_mels))
            windows += own
            counts.append(len(own))
        tokens = self.encode_features(windows)
        encoded, first = [], 0
        for count in counts:
            encoded.append(self._join(tokens[first : first + count]))
            first += count
        return encoded

    def _join(self, pieces: Sequence[Tensor]) -> Tensor:
        half = round(OVERLAP_S / 2 * self.token_rate)
        last = len(pieces) - 1
        return torch.cat(
            [
                piece[half if number else 0 : len(piece) - half if number < last else None]
                for number, piece in enumerate(pieces)
            ]
        )


def _windows(mel: Tensor) -> list[Tensor]:
    """Cut a mel spectrogram [M, F] into windows."""
    length, step = WINDOW_S * FRAME_RATE, (WINDOW_S - OVERLAP_S) * FRAME_RATE
    overlap = length - step
    starts = range(0, max(1, mel.shape[-1] - overlap), step)
    return [mel[:, start : start + length] for start in starts]


class NetworkTokenizer(SpeechTokenizer):
    """A tokenizer that runs in PyTorch, in batches.

    Args:
        network: Its network.
        device: Device to run on.
    """

    def __init__(self, network: TokenizerNetwork, device: str = "cpu") -> None:
        self.network = network.to(device).eval()
        self.device = device
        self.token_rate = network.sizes.token_rate
        self.vocab_size = network.sizes.n_codebook_size
        self.n_mels = network.sizes.n_mels

    @override
    @torch.inference_mode()
    def encode_features(self, mels: Sequence[Tensor]) -> list[Tensor]:
        lengths = torch.tensor([mel.shape[-1] for mel in mels], device=self.device)
        batch = pad_sequence([mel.T for mel in mels], batch_first=True).transpose(1, 2)
        tokens, num_tokens = self.network(batch.to(self.device), lengths)
        return [row[:count].cpu() for row, count in zip(tokens, num_tokens.tolist(), strict=True)]


class OnnxTokenizer(SpeechTokenizer):
    """A tokenizer as it is published: an ONNX file that encodes one mel spectrogram.

    Its inputs are a mel spectrogram [1, 128, F] and its number of frames [1], int32; its output is
    the tokens.

    Args:
        path: The file.
        threads: Threads that it computes on.
        device: Device to run on.

    Raises:
        ValueError: If the file cannot be run, or has another interface.
    """

    vocab_size = None

    def __init__(self, path: Path, threads: int = 1, device: str = "cpu") -> None:
        self._session = open_onnx(path, threads, device)
        inputs = self._session.get_inputs()
        shape = inputs[0].shape
        bands = shape[1] if len(shape) == 3 else None
        self.n_mels = bands if isinstance(bands, int) else TOKENIZER_MELS
        fits = len(inputs) == 2 and inputs[1].type == "tensor(int32)" and len(shape) == 3
        try:
            if not fits:
                raise ValueError
            [probe] = self.encode_features([torch.zeros(self.n_mels, _PROBE_FRAMES)])
            if not _PROBE_FRAMES // 8 <= len(probe) <= _PROBE_FRAMES:
                raise ValueError
        except Exception as error:  # those of ONNX Runtime have no common base
            raise ValueError(
                f"{path} is no speech tokenizer ({describe_interface(self._session)}): it must "
                f"map a mel spectrogram [1, {TOKENIZER_MELS}, frames] and their number, int32, to "
                "tokens"
            ) from error
        self.token_rate = len(probe) * FRAME_RATE / _PROBE_FRAMES

    @override
    def encode_features(self, mels: Sequence[Tensor]) -> list[Tensor]:
        mel_name, length_name = (one.name for one in self._session.get_inputs())
        encoded = []
        for mel in mels:
            length = np.array([mel.shape[-1]], np.int32)
            [tokens, *_] = self._session.run(
                None, {mel_name: mel[None].numpy(), length_name: length}
            )
            encoded.append(torch.from_numpy(np.asarray(tokens).reshape(-1).astype(np.int64)))
        return encoded
