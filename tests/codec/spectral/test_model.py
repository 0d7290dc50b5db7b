"""The spectral codec against definitions of its parts, its files, and bad input."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sled.codec import CodecParts, Group, Whiten, group_codes, load_codec
from sled.codec.mel import mel_filterbank
from sled.codec.spectral.config import SpectralConfig
from sled.codec.spectral.layers import LOG_MEL_FLOOR, LogMel
from sled.codec.spectral.model import SpectralCodec
from sled.codec.spectral.network import Spectral, new_spectral
from tests.codec.spectral.models import SIZES, tiny_spectral
from tests.debug import randn


def stft(x: Tensor, size: int, hop: int) -> Tensor:
    """Spectrum [B, F, n] of whole windows, as torch computes it."""
    window = torch.hann_window(size)
    return torch.stft(x, size, hop, window=window, center=False, return_complex=True)


def test_the_encoder_sees_log_mel_magnitudes_of_the_past() -> None:
    x = 0.1 * randn(2, 4000)
    got, _ = LogMel(24_000, 1280, 320, 80).step(x[:, None, :3840], None)
    spectrum = stft(torch.nn.functional.pad(x[:, :3840], (960, 0)), 1280, 320)
    magnitude = spectrum.abs() / torch.hann_window(1280).norm()
    wanted = (magnitude.mT @ mel_filterbank(24_000, 1280, 80) + LOG_MEL_FLOOR).log().mT
    torch.testing.assert_close(2.5 * got - 4.5, wanted, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("rate", "columns"), [(12.5, 6), (18.75, 4), (25.0, 3)])
def test_describes_itself(rate: float, columns: int) -> None:
    config = SpectralConfig(columns_per_frame=columns, decoder_width=8, encoder_width=8)
    codec = SpectralCodec(new_spectral(config))
    assert (codec.frame_rate, codec.sample_rate) == (rate, 24_000)
    assert (codec.unit_shape, codec.num_codebooks, codec.codebook_size) == ((64,), 64, 256)
    assert codec.token_channel is None and codec.stored is codec


@pytest.mark.parametrize("name", SIZES)
def test_codes_hold_latents_up_to_rounding(name: str) -> None:
    model = tiny_spectral(**SIZES[name])
    codec = SpectralCodec(model)
    audio = 0.1 * randn(400)
    (codes,) = codec.encode([audio])
    assert codes.min() >= 0 and codes.max() < codec.codebook_size
    latents = model.encoder(audio[None, None])[0]
    wanted = ((latents - model.mean) / model.deviation).T
    error = (codec.codes_to_units(codes) - wanted).abs() * model.deviation.T
    assert error.max() <= model.config.limit / 255 + 1e-5


def test_units_of_codes_have_these_codes() -> None:
    """Also with transforms; and units that no code has get the nearest."""
    codec = SpectralCodec(tiny_spectral())
    codes = torch.randint(codec.codebook_size, (2, codec.num_codebooks, 6))
    units = codec.codes_to_units(codes)
    assert codec.units_to_codes(units).equal(codes)
    assert codec.units_to_codes(units + 100).max() == codec.codebook_size - 1
    grouped = CodecParts(tiny_spectral(), (Group(3),)).assemble()
    theirs = group_codes(codes, 3)
    assert grouped.units_to_codes(grouped.codes_to_units(theirs)).equal(theirs)


def test_codes_beyond_the_limit_are_its_own() -> None:
    model = tiny_spectral(bottleneck="kl")
    with torch.no_grad():
        model.encoder.stack.layers[-1].linear.weight.mul_(1e3)
    (codes,) = SpectralCodec(model).encode([0.1 * randn(400)])
    assert {0, 255} <= set(codes.flatten().tolist())


def test_clips_are_encoded_as_if_alone() -> None:
    codec = SpectralCodec(tiny_spectral())
    clips = [0.1 * randn(length, seed=length) for length in (1, 8, 100, 37)]
    for clip, codes in zip(clips, codec.encode(clips), strict=True):
        assert codes.shape == (4, codec.num_frames(len(clip)))
        assert torch.equal(codes, codec.encode([clip])[0])


def test_audio_of_codes_does_not_depend_on_standardization() -> None:
    one, other = tiny_spectral(), tiny_spectral()
    other.mean.zero_()
    other.deviation.fill_(1)
    codes = SpectralCodec(one).encode([0.1 * randn(200)])[0]
    audio = [
        codec.decode(codec.codes_to_units(codes)[None])
        for codec in map(SpectralCodec, (one, other))
    ]
    torch.testing.assert_close(*audio, atol=1e-5, rtol=1e-5)


class TestFiles:
    def test_what_is_saved_is_loaded(self, tmp_path: Path) -> None:
        parts = CodecParts(tiny_spectral(bottleneck="kl"))
        codec = parts.assemble()
        units = [codec.codes_to_units(codec.encode([0.1 * randn(900, seed=n)])[0]) for n in (1, 2)]
        parts = parts.with_transforms(Whiten.of(units, 0.1), Group(2))
        parts.save(tmp_path)
        loaded, wanted = load_codec(tmp_path), parts.assemble()
        assert loaded.digest() == wanted.digest()
        audio = 0.1 * randn(333)
        codes = wanted.encode([audio])[0]
        assert torch.equal(loaded.encode([audio])[0], codes)
        units_of = wanted.codes_to_units(codes)[None]
        assert torch.equal(loaded.decode(units_of), wanted.decode(units_of))

    def test_loading_draws_no_random_numbers(self, tmp_path: Path) -> None:
        CodecParts(tiny_spectral()).save(tmp_path)
        before = torch.get_rng_state()
        load_codec(tmp_path)
        assert torch.equal(torch.get_rng_state(), before)

    def test_half_precision_is_read_in_float32(self, tmp_path: Path) -> None:
        CodecParts(tiny_spectral().half()).save(tmp_path)
        assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float16"
        codec = load_codec(tmp_path)
        assert codec.decode(randn(1, 3, 4)).dtype == torch.float32

    def test_digests_tell_apart_what_codes_depend_on(self) -> None:
        digest = SpectralCodec(tiny_spectral()).digest()
        assert SpectralCodec(tiny_spectral()).digest() == digest

        def changed(model: Spectral, tensor: Tensor) -> str:
            tensor += 1
            return SpectralCodec(model).digest()

        for path in ("encoder.stack.layers.1.conv.weight", "mean"):
            model = tiny_spectral()
            assert changed(model, model.state_dict()[path]) != digest
        model = tiny_spectral()  # the decoder does not
        assert changed(model, model.state_dict()["decoder.stack.layers.0.conv.bias"]) == digest

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"model_type": "other"}, "model_type is 'other', not 'encodec' or 'spectral_codec'"),
            ({"bottleneck": "none"}, "bottleneck 'none': choose from tanh, kl"),
            ({"stft_hop": 5}, "stft_window 16 must be a multiple of stft_hop 5"),
            ({"code_levels": 100}, "code_levels must be a power of two, got 100"),
            ({"latent_size": 5}, "do not fit the spectral architecture; misshapen"),
            ({"decoder_blocks": 3}, "do not fit the spectral architecture; missing"),
            ({"latent_size": "4"}, "not a usable codec: latent_size must be an integer from 1"),
            ({"stft_hop": 0}, "stft_hop must be an integer from 1, got 0"),
        ],
        ids=str,
    )
    def test_files_that_make_no_codec_are_refused(
        self, tmp_path: Path, changes: dict[str, object], message: str
    ) -> None:
        CodecParts(tiny_spectral()).save(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(config | changes))
        with pytest.raises(ValueError, match=message):
            load_codec(tmp_path)

    def test_missing_tensors_are_named(self, tmp_path: Path) -> None:
        CodecParts(tiny_spectral()).save(tmp_path)
        tensors = load_file(tmp_path / "model.safetensors")
        del tensors["deviation"]
        save_file(tensors, tmp_path / "model.safetensors")
        with pytest.raises(ValueError, match="missing: deviation"):
            load_codec(tmp_path)


@pytest.mark.parametrize("shape", [(0,), (1, 50)])
def test_clips_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a clip must be"):
        SpectralCodec(tiny_spectral()).encode([torch.zeros(shape)])


def test_codes_of_another_codec_are_refused() -> None:
    with pytest.raises(ValueError, match=r"codes must be \[..., 4, frames\], got \[5, 2\]"):
        SpectralCodec(tiny_spectral()).codes_to_units(torch.zeros(5, 2, dtype=torch.long))
