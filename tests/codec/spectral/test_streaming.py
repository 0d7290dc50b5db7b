"""Streaming spectral codecs: however a signal is cut, the pieces joined are those of the whole."""

import copy

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from sled.codec import Codec, Group, StreamState, TransformedCodec
from sled.codec.spectral.model import SpectralCodec
from tests.codec.encodec.test_streaming import (
    cuts,
    decode_pieces,
    encode_pieces,
)
from tests.codec.spectral.models import SIZES, tiny_spectral
from tests.debug import randn

MODELS = {name: tiny_spectral(**changes) for name, changes in SIZES.items()}
CODECS: dict[str, Codec] = {name: SpectralCodec(model) for name, model in MODELS.items()}
CODECS["in groups"] = TransformedCodec(CODECS["usual"], [Group(3)])
each = pytest.mark.parametrize("name", CODECS)


def assert_same_signal(got: Tensor, wanted: Tensor) -> None:
    """Random weights make signals of more than 20, and rounding is in proportion to them."""
    peak = wanted.abs().max().clamp_min(1.0)
    torch.testing.assert_close(got / peak, wanted / peak, atol=1e-5, rtol=1e-5)


class TestDecoder:
    @each
    @settings(max_examples=25)
    @given(sizes=cuts(10, 8), batch=st.integers(1, 3), seed=st.integers(0, 99))
    @example(sizes=[1], batch=1, seed=0)
    def test_pieces_are_the_whole(self, name: str, sizes: list[int], batch: int, seed: int) -> None:
        codec = CODECS[name]
        units = randn(batch, sum(sizes), *codec.unit_shape, seed=seed)
        whole = codec.decode(units)
        assert whole.shape == (batch, sum(sizes) * codec.hop_length)
        assert_same_signal(decode_pieces(codec, units, sizes), whole)

    @each
    def test_says_what_comes_out_when(self, name: str) -> None:
        codec = CODECS[name]
        stream = codec.stream_decoder()
        samples = 0
        for frames in range(1, 30):
            samples += stream.decode(randn(1, 1, *codec.unit_shape)).shape[1]
            assert samples == stream.samples_after(frames)
            assert (samples > 0) == (frames > stream.lookahead_frames)
            behind = frames * codec.hop_length - samples
            if samples:
                assert 0 <= stream.delayed_frames * codec.hop_length - behind < codec.hop_length

    @pytest.mark.parametrize("name", SIZES)
    def test_samples_depend_on_the_look_ahead_and_on_nothing_later(self, name: str) -> None:
        codec, ahead = CODECS[name], MODELS[name].config.lookahead_frames
        units = randn(1, 12, 4)
        whole = codec.decode(units)
        for frame in range(12):
            other = units.clone()
            other[:, frame] += 1
            changed = ((codec.decode(other) - whole).abs() > 1e-5).nonzero()[:, 1]
            first = max(0, frame - ahead) * codec.hop_length
            assert first <= changed.min() < first + codec.hop_length

    def test_the_last_latent_is_held(self) -> None:
        units = randn(1, 9, 4)
        held = torch.cat((units, units[:, -1:].expand(-1, 5, -1)), 1)
        whole = CODECS["usual"].decode(units)
        assert_same_signal(CODECS["usual"].decode(held)[:, : whole.shape[1]], whole)


class TestEncoder:
    @each
    @settings(max_examples=25)
    @given(sizes=cuts(60, 8), batch=st.integers(1, 3), seed=st.integers(0, 99))
    @example(sizes=[1], batch=1, seed=0)
    @example(sizes=[1] * 40, batch=2, seed=0)
    def test_pieces_are_the_whole(self, name: str, sizes: list[int], batch: int, seed: int) -> None:
        codec = CODECS[name]
        waveforms = 0.1 * randn(batch, sum(sizes), seed=seed)
        wanted = torch.stack(codec.encode(list(waveforms)))
        assert wanted.shape[1:] == (codec.num_codebooks, codec.num_frames(sum(sizes)))
        got = encode_pieces(codec, waveforms, sizes)
        # A number midway between two values may be rounded either way.
        assert (got - wanted).abs().max() <= 1
        assert (got != wanted).float().mean() < 0.02

    @pytest.mark.parametrize("name", SIZES)
    @settings(max_examples=15)
    @given(sizes=cuts(8, 8))
    def test_latents_are_those_of_the_whole(self, name: str, sizes: list[int]) -> None:
        """Before they are rounded; pieces are of whole frames here."""
        encoder, hop = MODELS[name].encoder, MODELS[name].config.hop_length
        waveforms = 0.1 * randn(2, 1, hop * sum(sizes))
        state, pieces = [], []
        for piece in waveforms.split([hop * size for size in sizes], -1):
            outputs, state = encoder.stack.step(piece, state)
            pieces.append(encoder.latents(outputs))
        assert_same_signal(torch.cat(pieces, -1), encoder(waveforms))

    @each
    def test_says_what_comes_out_when(self, name: str) -> None:
        stream = CODECS[name].stream_encoder()
        frames = 0
        for samples in range(1, 150):
            frames += stream.encode(0.1 * randn(1, 1)).shape[2]
            assert frames == stream.frames_after(samples)
            assert (frames > 0) == (samples > stream.lookahead_samples)

    def test_latents_depend_on_no_later_frame(self) -> None:
        encoder, hop = MODELS["usual"].encoder, MODELS["usual"].config.hop_length
        waveforms = 0.1 * randn(1, 1, 10 * hop)
        whole = encoder(waveforms)
        for frames in range(1, 10):
            assert_same_signal(encoder(waveforms[..., : frames * hop]), whole[..., :frames])

    def test_codes_vary(self) -> None:
        """Otherwise the comparisons above would mean little."""
        assert len(CODECS["usual"].encode([0.1 * randn(600)])[0].unique()) > 30


class TestState:
    @pytest.fixture(params=[2, 9], ids=["before the start", "after it"])
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
        for same in (state, state.clone(), copy.deepcopy(state)):
            assert torch.equal(self.continued(same), self.continued(state))

    def test_rows_go_on_alone_and_together(self, fed: int) -> None:
        first, second = self.state_after(fed, seed=5, batch=1), self.state_after(fed, batch=2)
        wanted = torch.cat([self.continued(first), self.continued(second)])
        joined = StreamState.cat([first, second])
        assert_same_signal(self.continued(joined), wanted)
        assert_same_signal(self.continued(joined.select([2, 0])), wanted[[2, 0]])

    def test_started_decoders_can_be_joined_wherever_they_are(self) -> None:
        first, second = self.state_after(40), self.state_after(9)
        wanted = torch.cat([self.continued(first), self.continued(second)])
        assert_same_signal(self.continued(StreamState.cat([first, second])), wanted)

    def test_does_not_grow(self) -> None:
        """Nor does it keep the storage of pieces alive."""

        def held(state: StreamState) -> int:
            return sum(tensor.untyped_storage().nbytes() for tensor in state.tensors())

        assert held(self.state_after(2000)) == held(self.state_after(7))

    def test_is_new_after_the_end(self) -> None:
        codec = CODECS["usual"]
        units, waveforms = randn(2, 9, 4), 0.1 * randn(2, 100)
        decoder, encoder = codec.stream_decoder(2), codec.stream_encoder(2)
        for _ in range(2):
            audio = torch.cat([decoder.decode(units), decoder.finish()], 1)
            assert torch.equal(audio, decode_pieces(codec, units, [9]))
            codes = torch.cat([encoder.encode(waveforms), encoder.finish()], 2)
            assert torch.equal(codes, encode_pieces(codec, waveforms, [100]))


def test_nothing_in_nothing_out() -> None:
    codec = CODECS["usual"]
    assert codec.stream_decoder(2).finish().shape == (2, 0)
    assert codec.stream_encoder(2).finish().shape == (2, codec.num_codebooks, 0)


def test_works_in_float32_whatever_surrounds_it() -> None:
    codec = CODECS["usual"]
    units, waveforms = randn(1, 9, 4).double(), 0.1 * randn(1, 100).double()
    with torch.autocast("cpu", torch.bfloat16):
        audio = decode_pieces(codec, units, [8, 1])
        codes = encode_pieces(codec, waveforms, [99, 1])
        assert torch.equal(codec.encode([waveforms[0]])[0], codes[0])
        assert_same_signal(codec.decode(units), audio)
    assert torch.equal(audio, decode_pieces(codec, units.float(), [8, 1]))
    assert torch.equal(codes, encode_pieces(codec, waveforms.float(), [99, 1]))


@pytest.mark.parametrize("shape", [(5, 4), (1, 5, 4), (2, 5, 3)])
def test_latents_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"latents must be \[2, frames, 4\]"):
        CODECS["usual"].stream_decoder(2).decode(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(50,), (1, 50), (2, 1, 50)])
def test_waveforms_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"waveforms must be \[2, samples\]"):
        CODECS["usual"].stream_encoder(2).encode(torch.zeros(shape))


def test_an_empty_batch_is_refused() -> None:
    for stream in (CODECS["usual"].stream_decoder, CODECS["usual"].stream_encoder):
        with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
            stream(0)
