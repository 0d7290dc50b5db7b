"""The decoder of Encodec in kernels makes the speech of the one in torch, with the same states."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sled.bundled import BUNDLED_MODELS
from sled.codec import EncodecCodec, load_codec
from sled.codec.encodec.config import EncodecConfig
from sled.codec.encodec.initialize import new_encodec
from sled.fast import use_kernels
from sled.fast.native import kernel_level
from sled.fast.native.encodec import NativeStreamingDecoder
from tests.debug import randn

pytestmark = pytest.mark.skipif(kernel_level() is None, reason="the kernels are not compiled")

# In each one, something else is unusual; the last ones have no kernels, and are decoded by torch.
ARCHITECTURES: dict[str, dict[str, object]] = {
    "usual": {},
    "identity shortcuts": {"use_conv_shortcut": False},
    "zero padding": {"pad_mode": "constant"},
    "edge padding": {"pad_mode": "replicate"},
    "no residual blocks": {"num_residual_layers": 0, "num_lstm_layers": 1},
    "many residual blocks": {"num_residual_layers": 3, "dilation_growth_rate": 1},
    "short kernels": {"kernel_size": 1, "last_kernel_size": 2, "residual_kernel_size": 1},
    "wide dilations": {"num_residual_layers": 2, "dilation_growth_rate": 3},
    "trimmed on both sides": {"trim_right_ratio": 0.5},
}


def codec_pair(**changes: object) -> tuple[EncodecCodec, EncodecCodec]:
    """The same small codec, decoded by torch and by the kernels."""
    torch.manual_seed(0)
    options: dict = {"num_filters": 4, "hidden_size": 12, "codebook_size": 16}
    options |= {"sampling_rate": 450, "upsampling_ratios": (3, 2), "target_bandwidths": (3.0,)}
    model = new_encodec(EncodecConfig(**(options | changes)))
    for weight in model.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    plain, fast = EncodecCodec(model), EncodecCodec(model)
    use_kernels(fast)
    return plain, fast


PAIRS = {name: codec_pair(**changes) for name, changes in ARCHITECTURES.items()}
each_architecture = pytest.mark.parametrize("name", ARCHITECTURES)


def assert_same_signal(got: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)


@each_architecture
@settings(max_examples=15)
@given(
    sizes=st.lists(st.sampled_from([0, 1, 2, 9, 17]), min_size=1, max_size=6).filter(any),
    batch=st.integers(1, 3),
)
def test_pieces_are_what_torch_makes_of_the_whole(name: str, sizes: list[int], batch: int) -> None:
    plain, fast = PAIRS[name]
    latents = randn(batch, sum(sizes), 12)
    stream = fast.stream_decoder(batch)
    pieces = [stream.decode(piece) for piece in latents.split(sizes, 1)]
    assert_same_signal(torch.cat([*pieces, stream.finish()], 1), plain.decode(latents))


@each_architecture
def test_either_continues_what_the_other_has_begun(name: str) -> None:
    plain, fast = PAIRS[name]
    latents = randn(2, 30, 12)
    for before, after in ((plain, fast), (fast, plain)):
        first, second = before.stream_decoder(2), after.stream_decoder(2)
        begin = first.decode(latents[:, :13])
        second.state = first.state
        pieces = [begin, second.decode(latents[:, 13:]), second.finish()]
        assert_same_signal(torch.cat(pieces, 1), plain.decode(latents))


def test_what_is_not_a_number_stays_so() -> None:
    """Latents of broken weights are found out in the audio."""
    _, fast = PAIRS["usual"]
    latents = randn(1, 20, 12)
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
