"""The networks of a spectral codec in kernels; tests/fast/test_native_codec.py has its streams."""

import pytest

from sled.fast.native.library import LEVELS, open_library
from sled.fast.native.spectral import NativeStack, native_stack
from tests.debug import randn
from tests.fast.forms import NEEDS_KERNELS
from tests.fast.native_codecs import LATENT_SIZE, SPECTRAL, assert_same_signal, spectral
from tests.fast.test_native_levels import NUM_LEVELS

pytestmark = NEEDS_KERNELS


@pytest.mark.parametrize("name", SPECTRAL)
@pytest.mark.parametrize("level", [one for number, one in LEVELS.items() if number <= NUM_LEVELS])
def test_pitch_and_filters_are_those_of_torch(name: str, level: str) -> None:
    decoder, library = spectral(**SPECTRAL[name]).decoder, open_library(level)
    assert library is not None
    latents = randn(2, LATENT_SIZE, 21)
    got, _ = NativeStack(decoder, library).filters(latents, [])
    assert_same_signal(got, decoder.filters(latents))


def test_widths_without_kernels_are_decoded_by_torch() -> None:
    model = spectral(decoder_width=24)
    assert native_stack(model.decoder) is model.decoder.stack
