"""Frames in groups: the same codec, in larger steps."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lhotse import CutSet

from sled.codec import Group, StreamState, TransformedCodec, load_codec
from sled.data.cache.codes import cache_codes, check_codec, load_cached
from sled.data.dataset import SpeechDataset
from tests.commands import run
from tests.debug import GOLDENS, HOP, debug_codec, debug_cut, debug_tokenizer, debug_waveform, randn


def grouped(frames: int) -> TransformedCodec:
    return TransformedCodec(debug_codec(), [Group(frames)])


@pytest.mark.parametrize("frames", [2, 3])
@pytest.mark.parametrize("num_samples", [1, 6 * HOP, 7 * HOP + 5])
def test_codes_and_latents_are_those_of_the_codec_side_by_side(frames, num_samples):
    codec, base = grouped(frames), debug_codec()
    waveform = debug_waveform(1.0)[:num_samples]
    (codes,) = codec.encode([torch.as_tensor(waveform)])
    assert codes.shape == (codec.num_codebooks, codec.num_frames(num_samples))
    latents = codec.codes_to_units(codes)
    assert latents.shape == (codes.shape[1], codec.latent_dim)
    (whole,) = base.encode([torch.as_tensor(waveform)])
    each = latents.reshape(-1, base.latent_dim)
    known = whole.shape[1]
    torch.testing.assert_close(each[:known], base.codes_to_units(whole))
    assert (each[known:] == each[known - 1]).all()  # the last group is filled up
    torch.testing.assert_close(codec.decode(latents[None]), base.decode(each[None]))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(2, 4))
def test_speech_is_the_same_however_groups_are_cut(pieces, frames):
    codec = grouped(frames)
    latents = randn(2, sum(pieces), codec.latent_dim)
    stream, heard = codec.stream_decoder(2), []
    done = 0
    for piece in latents.split(pieces, dim=1):
        heard.append(stream.decode(piece))
        done += piece.shape[1]
        assert sum(x.shape[1] for x in heard) == stream.samples_after(done)
    heard.append(stream.finish())
    if sum(pieces):
        torch.testing.assert_close(torch.cat(heard, 1), codec.decode(latents), rtol=0, atol=1e-5)
    if done > stream.lookahead_frames:
        assert stream.samples_after(stream.lookahead_frames) == 0
        assert stream.samples_after(stream.lookahead_frames + 1) > 0


@given(st.lists(st.integers(0, 5 * HOP), min_size=1, max_size=6), st.integers(2, 4))
def test_codes_are_the_same_however_speech_is_cut(pieces, frames):
    """Also if the state is put aside between any two pieces."""
    codec = grouped(frames)
    waveform = torch.as_tensor(debug_waveform(2.0))[: sum(pieces)]
    stream, codes = codec.stream_encoder(), []
    for piece in waveform[None].split(pieces, dim=1):
        codes.append(stream.encode(piece))
        state, stream = stream.state, codec.stream_encoder()
        stream.state = StreamState.cat([state])
    codes.append(stream.finish())
    if sum(pieces):
        (expected,) = codec.encode([waveform])
        assert torch.cat(codes, -1)[0].equal(expected)


def test_a_grouped_codec_is_saved_and_loaded(tmp_path, capsys):
    """By the same code as any other; it is another codec, of a lower rate."""
    flags = ("--codec", GOLDENS / "codec", "--transforms", "group:3", "-o", tmp_path / "codec")
    assert run("codec fit", *flags) == 0
    base, codec = load_codec(GOLDENS / "codec"), load_codec(tmp_path / "codec")
    assert f"{codec.frame_rate:g} latents of {codec.latent_dim}" in capsys.readouterr().out
    assert (codec.hop_length, codec.latent_dim) == (3 * base.hop_length, 3 * base.latent_dim)
    assert codec.digest() != base.digest()
    latents = randn(1, 4, codec.latent_dim)
    expected = base.decode(latents.reshape(1, 12, base.latent_dim))
    torch.testing.assert_close(codec.decode(latents), expected)


def test_codes_that_are_cached_serve_for_groups_too(tmp_path):
    """Once encoded, a corpus serves for groups of any size, and gives what audio would."""
    cuts = CutSet([debug_cut(tmp_path / f"{s}.wav", s, "four two") for s in (0.31, 0.5)])
    cache_codes(cuts, debug_codec(), tmp_path / "codes")
    codec = grouped(4)
    check_codec(tmp_path / "codes", codec)
    cache_codes(cuts, codec, tmp_path / "same")  # holds frames, not groups
    check_codec(tmp_path / "same", debug_codec())
    dataset = SpeechDataset(debug_tokenizer(), codec)
    for cached, cut in zip(load_cached(tmp_path / "codes"), cuts, strict=True):
        sample, audio = dataset[cached], dataset[cut]
        assert sample["speech"].equal(codec.encode([audio["speech"]])[0])
        assert sample["num_frames"] == audio["num_frames"] == sample["speech"].shape[1]


@pytest.mark.parametrize("frames", [1, 0])
def test_there_must_be_something_to_group(frames, tmp_path, capsys):
    transforms = ("--transforms", f"group:{frames}")
    flags = ("--codec", GOLDENS / "codec", *transforms, "-o", tmp_path / "codec")
    assert run("codec fit", *flags) == 2
    assert f"group of {frames} frames" in capsys.readouterr().err
    assert not (tmp_path / "codec").exists()
