"""Codecs make the same speech in kernels as in torch, as streams with the same states."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sled.bundled import BUNDLED_MODELS
from sled.codec import EncodecCodec, load_codec
from sled.fast import use_kernels
from sled.fast.native.encodec import NativeStreamingDecoder
from tests.debug import randn
from tests.fast.forms import NEEDS_KERNELS
from tests.fast.native_codecs import (
    ENCODEC,
    LATENT_SIZE,
    SPECTRAL,
    assert_same_signal,
    encodec_pair,
    spectral_pair,
)

pytestmark = NEEDS_KERNELS

PAIRS = {f"encodec, {name}": encodec_pair(**changes) for name, changes in ENCODEC.items()}
PAIRS |= {f"spectral, {name}": spectral_pair(**changes) for name, changes in SPECTRAL.items()}
each_codec = pytest.mark.parametrize("name", PAIRS)


@each_codec
@settings(max_examples=15)
@given(
    sizes=st.lists(st.sampled_from([0, 1, 2, 9, 17]), min_size=1, max_size=6).filter(any),
    batch=st.integers(1, 3),
)
def test_pieces_are_what_torch_makes_of_the_whole(name: str, sizes: list[int], batch: int) -> None:
    plain, fast = PAIRS[name]
    latents = randn(batch, sum(sizes), LATENT_SIZE)
    stream = fast.stream_decoder(batch)
    pieces = [stream.decode(piece) for piece in latents.split(sizes, 1)]
    assert_same_signal(torch.cat([*pieces, stream.finish()], 1), plain.decode(latents))


@each_codec
def test_either_continues_what_the_other_has_begun(name: str) -> None:
    plain, fast = PAIRS[name]
    latents = randn(2, 30, LATENT_SIZE)
    for before, after in ((plain, fast), (fast, plain)):
        first, second = before.stream_decoder(2), after.stream_decoder(2)
        begin = first.decode(latents[:, :13])
        second.state = first.state
        pieces = [begin, second.decode(latents[:, 13:]), second.finish()]
        assert_same_signal(torch.cat(pieces, 1), plain.decode(latents))


@pytest.mark.parametrize("name", ["encodec, usual", "spectral, usual"])
def test_what_is_not_a_number_stays_so(name: str) -> None:
    """Latents of broken weights are found out in the audio."""
    _, fast = PAIRS[name]
    latents = randn(1, 20, LATENT_SIZE)
    latents[0, 10] = torch.nan
    assert fast.stream_decoder(1).decode(latents).isnan().any()


def test_a_trained_codec_speaks_as_in_torch() -> None:
    plain = load_codec(BUNDLED_MODELS["digits"].folder / "codec").stored
    assert isinstance(plain, EncodecCodec)
    codes = torch.randint(1024, (2, 8, 40), generator=torch.Generator().manual_seed(0))
    latents = plain.codes_to_units(codes)
    wanted = plain.decode(latents)
    use_kernels(plain)
    stream = plain.stream_decoder(2)
    pieces = [stream.decode(piece) for piece in latents.split([3, 5, 1, 31], 1)]
    assert isinstance(plain.__dict__["_streaming_decoder"], NativeStreamingDecoder)
    assert_same_signal(torch.cat(pieces, 1), wanted)
