"""The decoder of a spectral codec in kernels makes the speech of the one in torch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sled.codec import SpectralCodec
from sled.codec.spectral.config import SpectralConfig
from sled.codec.spectral.layers import Pointwise
from sled.codec.spectral.network import Spectral, new_spectral
from sled.fast import use_kernels
from sled.fast.native import kernel_level
from sled.fast.native.library import LEVELS, open_library
from sled.fast.native.spectral import NativeStack, native_stack
from tests.debug import randn
from tests.fast.test_native_levels import NUM_LEVELS

pytestmark = pytest.mark.skipif(kernel_level() is None, reason="the kernels are not compiled")

SIZES: dict[str, int] = {"stft_hop": 16, "stft_window": 64, "mel_bands": 20, "latent_size": 12}
SIZES |= {"encoder_width": 8, "decoder_width": 32, "decoder_blocks": 3}
ARCHITECTURES: dict[str, dict[str, int]] = {
    "usual": {},
    "no blocks": {"decoder_blocks": 0},
    "short kernels": {"kernel_size": 1},
    "many columns": {"columns_per_frame": 6, "expansion": 2},
}
each_architecture = pytest.mark.parametrize("name", ARCHITECTURES)


def spectral(**changes: int) -> Spectral:
    """Small networks. Their pitch is constant: it is rounded, and so may differ by a step."""
    torch.manual_seed(0)
    model = new_spectral(SpectralConfig(**(SIZES | changes)))
    for weight in model.decoder.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    last = model.decoder.stack.layers[-2]
    assert isinstance(last, Pointwise)
    last.linear.weight.data[0] = 0
    return model.requires_grad_(False)


MODELS = {name: spectral(**changes) for name, changes in ARCHITECTURES.items()}


def codec_pair(name: str) -> tuple[SpectralCodec, SpectralCodec]:
    plain, fast = SpectralCodec(MODELS[name]), SpectralCodec(MODELS[name])
    use_kernels(fast)
    return plain, fast


def assert_same(got: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)


@each_architecture
@pytest.mark.parametrize("level", [one for number, one in LEVELS.items() if number <= NUM_LEVELS])
def test_pitch_and_filters_are_those_of_torch(name: str, level: str) -> None:
    decoder, latents, library = MODELS[name].decoder, randn(2, 12, 21), open_library(level)
    assert library is not None
    got, _ = NativeStack(decoder, library).filters(latents, [])
    assert_same(got, decoder.filters(latents))


@each_architecture
@settings(max_examples=10)
@given(
    sizes=st.lists(st.sampled_from([0, 1, 2, 9]), min_size=1, max_size=6).filter(any),
    batch=st.integers(1, 3),
)
def test_pieces_are_what_torch_makes_of_the_whole(name: str, sizes: list[int], batch: int) -> None:
    plain, fast = codec_pair(name)
    latents = randn(batch, sum(sizes), 12)
    stream = fast.stream_decoder(batch)
    pieces = [stream.decode(piece) for piece in latents.split(sizes, 1)]
    assert_same(torch.cat([*pieces, stream.finish()], 1), plain.decode(latents))


@each_architecture
def test_either_continues_what_the_other_has_begun(name: str) -> None:
    plain, fast = codec_pair(name)
    latents = randn(2, 30, 12)
    for before, after in ((plain, fast), (fast, plain)):
        first, second = before.stream_decoder(2), after.stream_decoder(2)
        begin = first.decode(latents[:, :13])
        second.state = first.state
        pieces = [begin, second.decode(latents[:, 13:]), second.finish()]
        assert_same(torch.cat(pieces, 1), plain.decode(latents))


def test_widths_without_kernels_are_decoded_by_torch() -> None:
    model = spectral(decoder_width=24)
    assert native_stack(model.decoder) is model.decoder.stack


def test_what_is_not_a_number_stays_so() -> None:
    """Latents of broken weights are found out in the audio."""
    _, fast = codec_pair("usual")
    latents = randn(1, 20, 12)
    latents[0, 10] = torch.nan
    assert fast.stream_decoder(1).decode(latents).isnan().any()
