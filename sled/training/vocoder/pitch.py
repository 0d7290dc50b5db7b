"""The fundamental frequency of recordings, by probabilistic YIN (Mauch and Dixon 2014)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sled.data.tokens.batches import Pitch
from sled.files.extras import install_command

LOWEST_HZ, HIGHEST_HZ = 65.0, 800.0
_WINDOW_S = 0.064


def pitch_of(sample_rate: int, hop: int) -> Pitch:
    """Return a function from a waveform [S] and a number of frames to frequencies [F] in Hz.

    Unvoiced frames have 0.

    Raises:
        ValueError: If librosa is not installed.
    """
    try:
        import librosa
    except ImportError as error:
        raise ValueError(
            f"the pitch of recordings needs librosa: run {install_command('tokens')}"
        ) from error

    def pitch(waveform: Tensor, frames: int) -> Tensor:
        found, _, _ = librosa.pyin(
            waveform.numpy(),
            fmin=LOWEST_HZ,
            fmax=HIGHEST_HZ,
            sr=sample_rate,
            frame_length=2 * round(_WINDOW_S * sample_rate / 2),
            hop_length=hop,
            fill_na=0.0,
        )
        frequencies = torch.from_numpy(found).float()
        # librosa centres its frames; those at the ends may be one more or less.
        return F.interpolate(frequencies[None, None], size=frames, mode="nearest")[0, 0]

    return pitch
