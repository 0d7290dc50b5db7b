"""The spectral codec that comes with the package."""

import torch

from sled import TTS
from sled.bundled import BUNDLED_CODECS
from sled.codec import SpectralCodec, load_codec
from sled.training.codec.losses import MultiScaleMelDistance


def test_speech_survives_the_bundled_codec() -> None:
    """Against speech of another voice than its own, each time shifted, the distance is large."""
    codec = load_codec("spectral")
    assert isinstance(codec, SpectralCodec)
    assert (codec.frame_rate, codec.unit_shape) == (18.75, (64,))
    spoken = TTS.from_pretrained("digits").say("four two seven", seed=1).audio
    speech = torch.from_numpy(spoken)[None]
    units = codec.codes_to_units(codec.encode([speech[0]])[0][None])
    decoded = codec.decode(units)[:, : speech.shape[1]]
    distance = MultiScaleMelDistance(codec.sample_rate)
    close, far = distance(decoded, speech), distance(decoded.roll(4800, 1), speech)
    assert close < 0.4 < 0.8 < far


def test_the_bundled_codec_is_small() -> None:
    files = BUNDLED_CODECS["spectral"].iterdir()
    assert sum(file.stat().st_size for file in files) < 15_000_000
