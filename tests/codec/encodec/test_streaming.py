"""Streaming Encodec: however a signal is cut, the pieces joined are what the whole gives."""

import copy
import io

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from sled.bundled import BUNDLED_MODELS
from sled.codec import Codec, EncodecCodec, StreamState, load_codec
from sled.codec.encodec.config import EncodecConfig
from sled.codec.encodec.initialize import new_encodec
from sled.codec.encodec.network import Encodec
from sled.codec.encodec.streaming import StreamingNetwork
from tests.debug import debug_codec, randn

# Each has something that another way of streaming could get wrong.
ARCHITECTURES: dict[str, dict[str, object]] = {
    "usual": {},
    "identity shortcuts": {"use_conv_shortcut": False},
    "wide dilations": {
        "num_residual_layers": 3,
        "residual_kernel_size": 5,
        "dilation_growth_rate": 3,
    },
    "trimmed on both sides": {"trim_right_ratio": 0.5, "upsampling_ratios": (4, 3)},
    "zero padding": {"pad_mode": "constant"},
    "edge padding": {"pad_mode": "replicate"},
    "one of each": {"upsampling_ratios": (5,), "num_lstm_layers": 1, "num_residual_layers": 0},
    "short kernels": {"kernel_size": 1, "last_kernel_size": 2, "residual_kernel_size": 1},
}


def tiny_model(**changes: object) -> Encodec:
    """A random Encodec with 75 frames of 6 samples a second, loud enough to show differences."""
    torch.manual_seed(0)
    options: dict = {"num_filters": 2, "hidden_size": 4, "codebook_size": 16}
    options |= {"sampling_rate": 450, "upsampling_ratios": (3, 2), "target_bandwidths": (3.0,)}
    model = new_encodec(EncodecConfig(**(options | changes)))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("original0"):  # the gains of normalised weights
                weight.mul_(1.5)
            elif name.endswith("conv.bias"):  # in a new model some are zero
                weight.normal_(std=0.2)
    for codebook in model.quantizer.codebooks:
        codebook.embed.normal_(std=0.3)
    return model.eval().requires_grad_(False)


MODELS = {name: tiny_model(**changes) for name, changes in ARCHITECTURES.items()}
CODECS = {name: EncodecCodec(model) for name, model in MODELS.items()}
each_architecture = pytest.mark.parametrize("name", ARCHITECTURES)


def decode_pieces(codec: Codec, latents: Tensor, sizes: list[int]) -> Tensor:
    """The speech of latents [B, T, D] that come in pieces of these many frames."""
    stream = codec.stream_decoder(len(latents))
    pieces = [stream.decode(piece) for piece in latents.split(sizes, 1)]
    return torch.cat([*pieces, stream.finish()], 1)


def encode_pieces(codec: Codec, waveforms: Tensor, sizes: list[int]) -> Tensor:
    """The codes of clips [B, S] that come in pieces of these many samples."""
    stream = codec.stream_encoder(len(waveforms))
    pieces = [stream.encode(piece) for piece in waveforms.split(sizes, 1)]
    return torch.cat([*pieces, stream.finish()], 2)


def assert_same_signal(got: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)


def cuts(largest: int, pieces: int) -> st.SearchStrategy[list[int]]:
    """Sizes of pieces, many of them empty or single, which together are not nothing."""
    sizes = st.sampled_from([0, 1, 2]) | st.integers(0, largest)
    return st.lists(sizes, min_size=1, max_size=pieces).filter(any)


class TestDecoder:
    @each_architecture
    @settings(max_examples=30)
    @given(sizes=cuts(10, 8), batch=st.integers(1, 3), seed=st.integers(0, 99))
    def test_pieces_are_the_whole(self, name: str, sizes: list[int], batch: int, seed: int) -> None:
        codec = CODECS[name]
        latents = randn(batch, sum(sizes), *codec.unit_shape, seed=seed)
        assert_same_signal(decode_pieces(codec, latents, sizes), codec.decode(latents))

    @settings(max_examples=10)
    @given(sizes=cuts(10, 5), batch=st.integers(1, 2))
    def test_of_the_published_form(self, sizes: list[int], batch: int) -> None:
        latents = randn(batch, sum(sizes), 32)
        got = decode_pieces(debug_codec(), latents, sizes)
        assert_same_signal(got, debug_codec().decode(latents))

    @pytest.mark.parametrize("sizes", [[1] * 20, [7, 0, 12, 1], [3, 5, 12], [20], [2, 3], [1]])
    def test_trained(self, sizes: list[int]) -> None:
        codec = load_codec(BUNDLED_MODELS["digits"].folder / "codec")
        shape = (2, codec.num_codebooks, sum(sizes))
        codes = torch.randint(1024, shape, generator=torch.Generator().manual_seed(0))
        latents = codec.codes_to_units(codes)
        wanted = codec.decode(latents)
        assert wanted.std() > 1e-3
        assert_same_signal(decode_pieces(codec, latents, sizes), wanted)

    @each_architecture
    def test_however_short(self, name: str) -> None:
        """Most of these end before there is enough for the mirror image at the beginning."""
        codec = CODECS[name]
        for frames in range(1, 10):
            latents = randn(1, frames, *codec.unit_shape)
            got = decode_pieces(codec, latents, [1] * frames)
            assert_same_signal(got, codec.decode(latents))

    @each_architecture
    def test_says_what_comes_out_when(self, name: str) -> None:
        stream = CODECS[name].stream_decoder()
        samples = 0
        for frames in range(1, 30):
            samples += stream.decode(randn(1, 1, 4)).shape[1]
            assert samples == stream.samples_after(frames)
            assert (samples > 0) == (frames > stream.lookahead_frames)

    def test_waits_for_seven_frames_and_never_again(self) -> None:
        stream = debug_codec().stream_decoder()
        assert stream.lookahead_frames == 6
        assert [stream.samples_after(frames) for frames in range(6)] == [0] * 6
        assert [stream.samples_after(frames) for frames in (7, 8, 99)] == [2240, 2560, 99 * 320]

    def test_without_a_mirror_image_there_is_no_wait(self) -> None:
        assert CODECS["zero padding"].stream_decoder().lookahead_frames == 0

    def test_audio_depends_on_every_frame(self) -> None:
        """Otherwise the comparisons above would mean little."""
        latents = randn(1, 12, 4)
        whole = CODECS["usual"].decode(latents)
        for frame in range(12):
            other = latents.clone()
            other[:, frame] += 1
            assert (CODECS["usual"].decode(other) - whole).abs().max() > 1e-3


class TestEncoder:
    @each_architecture
    @settings(max_examples=25)
    @given(sizes=cuts(80, 8), batch=st.integers(1, 3), seed=st.integers(0, 99))
    @example(sizes=[1], batch=1, seed=0)
    @example(sizes=[1] * 100, batch=2, seed=0)
    def test_pieces_are_the_whole(self, name: str, sizes: list[int], batch: int, seed: int) -> None:
        waveforms = randn(batch, sum(sizes), seed=seed)
        wanted = torch.stack(CODECS[name].encode(list(waveforms)))
        assert torch.equal(encode_pieces(CODECS[name], waveforms, sizes), wanted)

    @each_architecture
    @settings(max_examples=15)
    @given(sizes=cuts(80, 8))
    def test_features_are_those_of_the_whole(self, name: str, sizes: list[int]) -> None:
        """The features before quantisation agree, not only the codes."""
        model = MODELS[name]
        network = StreamingNetwork(model.encoder, model.config)
        x = randn(2, 1, sum(sizes))
        state, pieces = network.new_state(2), []
        for piece in x.split(sizes, -1):
            y, state = network.step(piece, state)
            pieces.append(y)
        assert_same_signal(torch.cat([*pieces, network.finish(state)], -1), model.encoder(x))

    @settings(max_examples=8)
    @given(sizes=cuts(2500, 4))
    def test_of_the_published_form(self, sizes: list[int]) -> None:
        waveforms = 0.1 * randn(2, sum(sizes))
        wanted = torch.stack(debug_codec().encode(list(waveforms)))
        assert torch.equal(encode_pieces(debug_codec(), waveforms, sizes), wanted)

    @pytest.mark.parametrize("sizes", [[1000] * 5, [5001], [2240, 1, 2000], [319], [3, 400]])
    def test_trained(self, sizes: list[int]) -> None:
        codec = load_codec(BUNDLED_MODELS["digits"].folder / "codec")
        waveforms = 0.1 * randn(1, sum(sizes))
        wanted = torch.stack(codec.encode(list(waveforms)))
        assert torch.equal(encode_pieces(codec, waveforms, sizes), wanted)

    @each_architecture
    def test_says_what_comes_out_when(self, name: str) -> None:
        stream = CODECS[name].stream_encoder()
        frames = 0
        for samples in range(1, 150):
            frames += stream.encode(randn(1, 1)).shape[2]
            assert frames == stream.frames_after(samples)
            assert (frames > 0) == (samples > stream.lookahead_samples)

    def test_waits_for_seven_frames_of_samples(self) -> None:
        stream = debug_codec().stream_encoder()
        assert stream.lookahead_samples == 7 * 320 - 1
        assert [stream.frames_after(samples) for samples in (2239, 2240, 3199)] == [0, 7, 9]

    def test_codes_vary(self) -> None:
        """Otherwise the comparisons above would mean little."""
        assert len(CODECS["usual"].encode([randn(600)])[0].unique()) > 8


class TestState:
    """The state is a value: kept, copied, saved, cut and joined, it continues the same stream."""

    @pytest.fixture(params=[3, 9], ids=["before the start", "after it"])
    def fed(self, request: pytest.FixtureRequest) -> int:
        """Frames that a stream has been fed."""
        return request.param

    @staticmethod
    def state_after(frames: int, seed: int = 0, batch: int = 3) -> StreamState:
        stream = CODECS["usual"].stream_decoder(batch)
        stream.decode(randn(batch, frames, 4, seed=seed))
        return stream.state

    @staticmethod
    def continued(state: StreamState) -> Tensor:
        """The audio of further frames and the end of a stream that continues from this state."""
        stream = CODECS["usual"].stream_decoder(1)
        stream.state = state
        rest = stream.decode(randn(1, 8, 4, seed=1).expand(state.batch_size, -1, -1))
        return torch.cat([rest, stream.finish()], 1)

    def test_a_kept_state_leads_back(self, fed: int) -> None:
        state = self.state_after(fed)
        assert torch.equal(self.continued(state), self.continued(state))

    def test_copied_and_saved(self, fed: int) -> None:
        state = self.state_after(fed)
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        with torch.serialization.safe_globals([StreamState]):
            loaded = torch.load(file, weights_only=True)
        for same in (state.clone(), state.to("cpu"), copy.deepcopy(state), loaded):
            assert torch.equal(self.continued(same), self.continued(state))

    def test_selected_rows_go_on_alone(self, fed: int) -> None:
        state = self.state_after(fed)
        assert_same_signal(self.continued(state.select([2, 0])), self.continued(state)[[2, 0]])

    def test_joined_rows_go_on_together(self, fed: int) -> None:
        first, second = self.state_after(fed, seed=5, batch=1), self.state_after(fed, batch=2)
        joined = StreamState.cat([first, second])
        wanted = torch.cat([self.continued(first), self.continued(second)])
        assert_same_signal(self.continued(joined), wanted)

    def test_started_decoders_can_be_joined_wherever_they_are(self) -> None:
        first, second = self.state_after(40), self.state_after(9)
        wanted = torch.cat([self.continued(first), self.continued(second)])
        assert_same_signal(self.continued(StreamState.cat([first, second])), wanted)

    def test_unequal_streams_are_not_joined(self) -> None:
        with pytest.raises(ValueError, match="fed equally much"):
            StreamState.cat([self.state_after(3), self.state_after(9)])

    def test_does_not_grow(self) -> None:
        """Nor does it keep the storage of pieces alive."""

        def held(state: StreamState) -> int:
            return sum(tensor.untyped_storage().nbytes() for tensor in state.tensors())

        assert held(self.state_after(2000)) == held(self.state_after(7))

    def test_keeps_nothing_of_the_callers(self, fed: int) -> None:
        latents = randn(1, fed, 4)
        stream, other = CODECS["usual"].stream_decoder(), CODECS["usual"].stream_decoder()
        stream.decode(latents)
        other.decode(latents.clone())
        latents.zero_()
        assert torch.equal(self.continued(stream.state), self.continued(other.state))

    def test_is_new_after_the_end(self) -> None:
        codec = CODECS["usual"]
        latents, waveforms = randn(2, 9, 4), randn(2, 100)
        decoder, encoder = codec.stream_decoder(2), codec.stream_encoder(2)
        for _ in range(2):
            audio = torch.cat([decoder.decode(latents), decoder.finish()], 1)
            assert torch.equal(audio, decode_pieces(codec, latents, [9]))
            codes = torch.cat([encoder.encode(waveforms), encoder.finish()], 2)
            assert torch.equal(codes, encode_pieces(codec, waveforms, [100]))


def test_nothing_in_nothing_out() -> None:
    codec = CODECS["usual"]
    assert codec.stream_decoder(2).finish().shape == (2, 0)
    assert codec.stream_encoder(2).finish().shape == (2, codec.num_codebooks, 0)


def test_works_in_float32_whatever_surrounds_it() -> None:
    codec = CODECS["usual"]
    latents, waveforms = randn(1, 9, 4).double(), randn(1, 100).double()
    with torch.autocast("cpu", torch.bfloat16):
        audio = decode_pieces(codec, latents, [8, 1])
        codes = encode_pieces(codec, waveforms, [99, 1])
    assert torch.equal(audio, decode_pieces(codec, latents.float(), [8, 1]))
    assert torch.equal(codes, encode_pieces(codec, waveforms.float(), [99, 1]))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_the_gpu() -> None:
    model = tiny_model()
    latents = randn(2, 20, 4)
    wanted = EncodecCodec(model).decode(latents)
    # Reduced-precision convolutions, torch's default there, would blur the comparison.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        got = decode_pieces(EncodecCodec(copy.deepcopy(model), "cuda"), latents, [3, 5, 1, 11])
    torch.testing.assert_close(got.cpu(), wanted, atol=1e-4, rtol=1e-4)


class TestRefusals:
    @pytest.mark.parametrize(
        ("key", "value"),
        [("use_causal_conv", False), ("norm_type", "time_group_norm"), ("pad_mode", "circular")],
    )
    def test_architectures_that_need_the_whole(self, key: str, value: object) -> None:
        codec = EncodecCodec(tiny_model(**{key: value}))
        for stream in (codec.stream_decoder, codec.stream_encoder):
            with pytest.raises(ValueError, match=f"{key} is {value!r}"):
                stream()

    @pytest.mark.parametrize("shape", [(5, 4), (1, 5, 4), (2, 5, 3)])
    def test_latents_of_other_shapes(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"latents must be \[2, frames, 4\]"):
            CODECS["usual"].stream_decoder(2).decode(torch.zeros(shape))

    @pytest.mark.parametrize("shape", [(50,), (1, 50), (2, 1, 50)])
    def test_waveforms_of_other_shapes(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"waveforms must be \[2, samples\]"):
            CODECS["usual"].stream_encoder(2).encode(torch.zeros(shape))

    def test_empty_batch(self) -> None:
        with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
            CODECS["usual"].stream_decoder(0)
