"""Encodec behind the codec interface: against the published implementation, and bad input."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import EncodecModel, LlamaConfig

from sled.codec import EncodecCodec, load_codec
from sled.codec.encodec.config import EncodecConfig
from sled.codec.encodec.network import Encodec
from tests.debug import GOLDENS, randn


def tiny_oracle(seed: int = 0, **changes: object) -> EncodecModel:
    """An Encodec of the 24 kHz form with random weights and codebooks."""
    torch.manual_seed(seed)
    options: dict = {"num_filters": 2, "hidden_size": 8, "codebook_size": 16}
    options |= {"target_bandwidths": [0.6, 2.4], "num_lstm_layers": 1} | changes
    model = EncodecModel(transformers.EncodecConfig(**options))
    for level in model.quantizer.layers:
        level.codebook.embed.normal_(std=0.05)
    return model.eval()


def tiny_model(seed: int = 0, **changes: object) -> Encodec:
    """The same in our own form."""
    return ours(tiny_oracle(seed, **changes))


def ours(model: EncodecModel) -> Encodec:
    """A model of transformers in our own form, with the same tensors."""
    own = Encodec(EncodecConfig.from_dict(model.config.to_dict()))
    own.load_state_dict(model.state_dict())
    return own


@pytest.fixture(scope="module")
def codec() -> EncodecCodec:
    return EncodecCodec(tiny_model())


class TestGoldens:
    """Inputs and outputs of the published implementation."""

    def test_decoder(self) -> None:
        cases = load_file(GOLDENS / "cases.safetensors")
        wanted = cases["codec.decode_out"].squeeze(1)
        got = load_codec(GOLDENS / "codec").decode(cases["codec.decode_in"].transpose(1, 2))
        assert (got - wanted).norm() <= 1e-5 * wanted.norm()

    def test_codes_and_latents(self) -> None:
        cases = load_file(GOLDENS / "cases.safetensors")
        kinds = json.loads((GOLDENS / "cases.json").read_text())["cases"]
        codec = load_codec(GOLDENS / "codec")
        compared = 0
        for name in (name for name, case in kinds.items() if case["kind"] == "loss"):
            lengths = cases[f"{name}.padding_mask"].sum(-1).tolist()
            clips = [
                clip[0, :length]
                for clip, length in zip(cases[f"{name}.input_values"], lengths, strict=True)
            ]
            for row, codes in enumerate(codec.encode(clips)):
                frames = codec.num_frames(lengths[row])
                assert codes.tolist() == cases[f"{name}.codes"][row, :, :frames].tolist()
                wanted = cases[f"{name}.codec_latents"][row, :frames]
                got = codec.codes_to_units(codes)
                assert (got - wanted).norm() <= 1e-5 * wanted.norm()
                compared += 1
        assert compared


@settings(max_examples=15)
@given(lengths=st.lists(st.integers(1, 2000), min_size=1, max_size=3), seed=st.integers(0, 9))
def test_each_clip_is_encoded_as_if_alone(
    codec: EncodecCodec, lengths: list[int], seed: int
) -> None:
    clips = [0.1 * randn(length, seed=seed + i) for i, length in enumerate(lengths)]
    together = codec.encode(clips)
    for clip, codes in zip(clips, together, strict=True):
        assert codes.shape == (codec.num_codebooks, -(-len(clip) // codec.hop_length))
        assert torch.equal(codes, codec.encode([clip])[0])


def test_agrees_with_transformers_own_path(codec: EncodecCodec) -> None:
    model = tiny_oracle()
    clip = 0.1 * randn(3200, seed=1)
    with torch.no_grad():
        wanted = model.encode(clip[None, None], bandwidth=2.4).audio_codes[0, 0]
        audio = model.decode(wanted[None, None], [None]).audio_values[:, 0]
    codes = codec.encode([clip])[0]
    assert torch.equal(codes, wanted)
    torch.testing.assert_close(codec.decode(codec.codes_to_units(codes[None])), audio)


def test_describes_itself(codec: EncodecCodec) -> None:
    assert (codec.sample_rate, codec.hop_length, codec.frame_rate) == (24_000, 320, 75.0)
    assert (codec.unit_shape, codec.num_codebooks, codec.codebook_size) == ((8,), 8, 16)
    assert [codec.num_frames(samples) for samples in (1, 320, 321)] == [1, 1, 2]


def test_decodes_any_latents_into_whole_frames(codec: EncodecCodec) -> None:
    latents = randn(2, 5, 8)
    audio = codec.decode(latents)
    assert audio.shape == (2, 5 * 320)
    torch.testing.assert_close(codec.decode(latents[1:])[0], audio[1], atol=1e-6, rtol=1e-4)


def test_works_in_float32_whatever_surrounds_it(codec: EncodecCodec) -> None:
    latents = randn(1, 4, 8)
    with torch.autocast("cpu", torch.bfloat16):
        audio = codec.decode(latents)
    assert torch.equal(audio, codec.decode(latents))


def test_uses_no_more_codebooks_than_asked() -> None:
    model = tiny_model()
    clip = 0.1 * randn(3200)
    few, all_of_them = EncodecCodec(model, num_codebooks=3), EncodecCodec(model)
    assert torch.equal(few.encode([clip])[0], all_of_them.encode([clip])[0][:3])


def test_half_precision_files_are_loaded_as_float32(tmp_path: Path) -> None:
    tiny_oracle().half().save_pretrained(tmp_path)
    codec = load_codec(tmp_path)
    latents = codec.codes_to_units(torch.zeros(8, 3, dtype=torch.long))
    assert latents.dtype == codec.decode(latents[None]).dtype == torch.float32


class TestRefusals:
    """Bad input raises a ValueError that says what is wrong."""

    @pytest.mark.parametrize("name", ["nowhere", "./nowhere/codec", "weights.th", "runs/a/codec"])
    def test_no_such_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ValueError, match=f"no codec at {Path(name)}"):
            load_codec(name)

    def test_folder_without_a_model(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="no codec.*config.json"):
            load_codec(tmp_path)

    def test_folder_of_another_model(self, tmp_path: Path) -> None:
        LlamaConfig().save_pretrained(tmp_path)
        with pytest.raises(ValueError, match="model_type is 'llama'"):
            load_codec(tmp_path)

    def test_config_without_weights(self, tmp_path: Path) -> None:
        tiny_oracle().config.save_pretrained(tmp_path)
        with pytest.raises(ValueError, match="cannot load the codec"):
            load_codec(tmp_path)

    def test_stereo_codec(self) -> None:
        with pytest.raises(ValueError, match="2 channels"):
            EncodecCodec(tiny_model(audio_channels=2))

    def test_wrong_tensors_are_listed(self, tmp_path: Path) -> None:
        tiny_oracle().save_pretrained(tmp_path)
        file = tmp_path / "model.safetensors"
        tensors = load_file(file)
        del tensors["encoder.layers.0.conv.bias"]
        tensors["decoder.layers.0.conv.bias"] = torch.zeros(3)
        tensors["surplus"] = torch.zeros(1)
        save_file(tensors, file, metadata={"format": "pt"})
        with pytest.raises(ValueError) as refusal:
            load_codec(tmp_path)
        for part in (
            "missing: encoder.layers.0.conv.bias",
            "unexpected: surplus",
            "misshapen: decoder.layers.0.conv.bias [3] for [32]",
        ):
            assert part in str(refusal.value)

    def test_state_file_that_is_none(self, tmp_path: Path) -> None:
        file = tmp_path / "codec.th"
        file.write_bytes(b"not a state file")
        with pytest.raises(ValueError, match="not a readable state file"):
            load_codec(file)
        torch.save([1, 2], file)
        with pytest.raises(ValueError, match="dict of tensors"):
            load_codec(file)

    def test_broken_weights(self, tmp_path: Path) -> None:
        tiny_oracle().save_pretrained(tmp_path)
        (tmp_path / "model.safetensors").write_bytes(b"\0" * 40)
        with pytest.raises(ValueError, match="cannot load the codec"):
            load_codec(tmp_path)

    @pytest.mark.parametrize("shape", [(0,), (1, 320), ()])
    def test_clips_of_other_shapes(self, codec: EncodecCodec, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="clip must be"):
            codec.encode([torch.zeros(shape)])

    def test_codes_of_another_codec(self, codec: EncodecCodec) -> None:
        with pytest.raises(ValueError, match="8, frames"):
            codec.codes_to_units(torch.zeros(4, 5, dtype=torch.long))


def test_folder_may_lie_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_oracle().save_pretrained(tmp_path / "a")
    shutil.move(tmp_path / "a", tmp_path / "b")
    monkeypatch.chdir(tmp_path)
    assert load_codec("b").unit_shape == (8,)
