"""Whitened latents: another basis of the same codes, in which what carries speech is wide."""

import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sled.codec import CodecParts, Group, TransformedCodec, Whiten, group_codes, load_codec
from sled.model.registry import save_speech_lm
from sled.training.export import export
from tests.commands import run
from tests.debug import GOLDENS, HOP, debug_codec, debug_model, debug_tokenizer, debug_waveform
from tests.training.runs import make_corpus

FLOOR = 0.1


def debug_codes(num_clips: int = 8) -> list[torch.Tensor]:
    waveforms = [torch.as_tensor(debug_waveform(0.5, seed=seed)) for seed in range(num_clips)]
    return debug_codec().encode(waveforms)


def whitening(floor: float = FLOOR) -> Whiten:
    return Whiten.of(map(debug_codec().codes_to_units, debug_codes()), floor)


def whitened() -> TransformedCodec:
    return TransformedCodec(debug_codec(), [whitening()])


def save_whitened(folder: Path) -> None:
    CodecParts.load(GOLDENS / "codec").with_transforms(whitening()).save(folder)


def narrow(*shape: int) -> torch.Tensor:
    """Latents of which the first direction is wide, the second a tenth of it, the rest nothing."""
    torch.manual_seed(0)
    latents = torch.randn(*shape)
    turned = torch.linalg.qr(torch.randn(shape[-1], shape[-1]))[0]
    widths = torch.full((shape[-1],), 1e-3)
    widths[0], widths[1] = 10.0, 1.0
    return (latents * widths) @ turned + 5


def test_directions_over_the_floor_become_equally_wide_and_others_stay_narrow():
    latents = narrow(20_000, 8)
    spread = torch.cov(Whiten.of(latents.split(1000), floor=0.03).forward(latents).T)
    widths = torch.linalg.eigvalsh(spread).flip(0).sqrt()
    assert widths[1] > 0.9 * widths[0]
    assert widths[2] < 0.05 * widths[0]
    assert spread.trace() == pytest.approx(8, rel=1e-3)


def test_the_mean_of_whitened_latents_is_0():
    codec = whitened()
    latents = torch.cat([codec.codes_to_units(codes) for codes in debug_codes()])
    torch.testing.assert_close(latents.mean(0), torch.zeros(codec.latent_dim), rtol=0, atol=1e-4)


def test_codes_and_their_speech_are_those_of_the_codec():
    codec, base = whitened(), debug_codec()
    waveform = torch.as_tensor(debug_waveform(0.7))
    (codes,) = codec.encode([waveform])
    assert codes.equal(base.encode([waveform])[0])
    assert codec.digest() == base.digest()  # codes of one are codes of the other
    latents = codec.codes_to_units(codes)
    assert not latents.allclose(base.codes_to_units(codes))
    expected = base.decode(base.codes_to_units(codes)[None])
    torch.testing.assert_close(codec.decode(latents[None]), expected, rtol=0, atol=1e-5)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_speech_is_the_same_however_latents_are_cut(pieces):
    codec = whitened()
    latents = torch.randn(2, sum(pieces), codec.latent_dim)
    stream, heard = codec.stream_decoder(2), []
    for piece in latents.split(pieces, dim=1):
        heard.append(stream.decode(piece))
    assert sum(x.shape[1] for x in heard) == stream.samples_after(sum(pieces))
    heard.append(stream.finish())
    if sum(pieces):
        torch.testing.assert_close(torch.cat(heard, 1), codec.decode(latents), rtol=0, atol=1e-5)


def test_a_recording_is_encoded_as_a_stream():
    codec, waveform = whitened(), torch.as_tensor(debug_waveform(0.5))
    stream = codec.stream_encoder()
    pieces = waveform[None].split(7 * HOP + 3, dim=1)
    codes = torch.cat((*map(stream.encode, pieces), stream.finish()), dim=-1)
    assert codes[0].equal(codec.encode([waveform])[0])


def test_it_is_saved_loaded_grouped_and_exported(tmp_path):
    save_whitened(tmp_path / "codec")
    made = whitened()
    codes = debug_codes(1)[0]
    loaded = load_codec(tmp_path / "codec")
    assert loaded.codes_to_units(codes).equal(made.codes_to_units(codes))

    CodecParts.load(tmp_path / "codec").with_transforms(Group(2)).save(tmp_path / "grouped")
    pair = codes[:, : codes.shape[1] // 2 * 2]
    side_by_side = load_codec(tmp_path / "grouped").codes_to_units(group_codes(pair, 2))
    assert side_by_side.flatten().equal(made.codes_to_units(pair).flatten())

    save_speech_lm(debug_model(), tmp_path / "model")
    debug_tokenizer().save_pretrained(tmp_path / "model")
    export(tmp_path / "model", tmp_path / "export", tmp_path / "codec", "float32")
    exported = load_codec(tmp_path / "export/codec")
    assert exported.codes_to_units(codes).equal(made.codes_to_units(codes))


def test_what_cannot_be_whitened_is_refused():
    with pytest.raises(ValueError, match="a floor of 0 would amplify rounding"):
        whitening(0.0)
    with pytest.raises(ValueError, match="5 latents are too few"):
        Whiten.of([narrow(5, 8)], FLOOR)
    with pytest.raises(ValueError, match="0 latents are too few"):
        Whiten.of([], FLOOR)
    with pytest.raises(ValueError, match="latents of 8, the codec's have 32"):
        TransformedCodec(debug_codec(), [Whiten.of([narrow(100, 8)], FLOOR)])
    with pytest.raises(ValueError, match="whiten is there already"):
        TransformedCodec(debug_codec(), [whitening(), whitening()])


def test_a_codec_that_lost_its_whitening_is_refused(tmp_path):
    """Its latents would mean something else."""
    save_whitened(tmp_path)
    (tmp_path / "whiten.safetensors").unlink()
    with pytest.raises(ValueError, match="lacks its whiten.safetensors"):
        load_codec(tmp_path)


def test_a_broken_whitening_is_refused(tmp_path):
    save_whitened(tmp_path)
    (tmp_path / "whiten.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="whiten.safetensors cannot be used as whiten transform"):
        load_codec(tmp_path)
    shutil.copy(tmp_path / "model.safetensors", tmp_path / "whiten.safetensors")
    with pytest.raises(ValueError, match="whiten.safetensors cannot be used as whiten transform"):
        load_codec(tmp_path)


def test_the_command_goes_by_cached_codes(tmp_path):
    cached_corpus = make_corpus(tmp_path) / "cached"
    flags = ("--codec", GOLDENS / "codec", "--codes", cached_corpus, "--transforms", "whiten")
    assert run("codec fit", *flags, "--output", tmp_path / "codec") == 0
    (transform,) = load_codec(tmp_path / "codec").transforms
    assert isinstance(transform, Whiten)
