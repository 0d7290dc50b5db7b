"""Input features of the aligner: log-mel energies, with adjacent frames stacked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from lhotse import Fbank, FbankConfig
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

SAMPLE_RATE = 24_000
NUM_FEATURES = 160
FRAME_S = 0.025

_STACKED = 2
# Energy of about -80 dB of full scale. Quieter audio counts as silence.
_FLOOR = math.log(1e-6)


class Features:
    """Log-mel energies of waveforms.

    Args:
        device: Device on which they are computed.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.extractor = Fbank(
            FbankConfig(
                sampling_rate=SAMPLE_RATE,
                frame_shift=FRAME_S / _STACKED,
                num_filters=NUM_FEATURES // _STACKED,
                device=device,
            )
        )

    def __call__(self, waveform: Tensor) -> Tensor:
        """Features [T, F] of a waveform [S], T > 0; frame t begins at t * FRAME_S.

        Gradients flow through it.
        """
        at_least = round(FRAME_S * SAMPLE_RATE)
        waveform = F.pad(waveform, (0, max(0, at_least - len(waveform)))).to(self.device)
        mel = self.extractor.extract(waveform, SAMPLE_RATE).clamp_min(_FLOOR)
        mel = F.pad(mel, (0, 0, 0, -len(mel) % _STACKED), value=_FLOOR)
        return mel.reshape(-1, NUM_FEATURES)


def batches_by_length(num_frames: Sequence[int], max_frames: int) -> Iterator[list[int]]:
    """Yield batches of clips of similar length, as lists of indices.

    Args:
        num_frames: Number of frames of each clip.
        max_frames: Frames per batch, padding included; a longer clip is a batch of its own.
    """
    batch: list[int] = []
    for index in sorted(range(len(num_frames)), key=num_frames.__getitem__):
        if batch and (len(batch) + 1) * num_frames[index] > max_frames:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def pad(clips: Sequence[Tensor], device: str) -> tuple[Tensor, Tensor]:
    """Pad clips [T, F] to a batch, float32 [B, T, F]; also returns their lengths [B]."""
    lengths = torch.tensor([len(clip) for clip in clips])
    batch = pad_sequence(list(clips), batch_first=True)
    return batch.to(device, torch.float32), lengths
