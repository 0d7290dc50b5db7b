"""Mixing of channels: the mean, unless the channels cancel each other."""

import numpy as np
import pytest

from sled.files.channels import mix_channels

VOICE = np.random.default_rng(0).normal(size=4_800).astype(np.float32)
OTHER = np.random.default_rng(1).normal(size=4_800).astype(np.float32)


@pytest.mark.parametrize(
    ("channels", "mixed"),
    [
        ([VOICE], VOICE),
        ([VOICE, VOICE], VOICE),
        ([VOICE, 0 * VOICE], VOICE / 2),
        ([0 * VOICE, VOICE, 0 * VOICE, 0 * VOICE], VOICE / 4),
        ([VOICE, OTHER], (VOICE + OTHER) / 2),
        # One channel is inverted, exactly or nearly.
        ([VOICE, -VOICE], VOICE),
        ([-0.8 * VOICE, VOICE], VOICE),
        ([VOICE + 0.1 * OTHER, -VOICE], VOICE + 0.1 * OTHER),
        ([0 * VOICE, 0 * VOICE], 0 * VOICE),
    ],
)
def test_the_mean_or_the_loudest_channel(channels: list[np.ndarray], mixed: np.ndarray) -> None:
    np.testing.assert_allclose(mix_channels(np.stack(channels)), mixed, atol=1e-6)
