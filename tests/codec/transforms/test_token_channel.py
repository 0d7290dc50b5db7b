"""A channel of the latents that holds the token being spoken."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sled.codec import CodecParts, Group, TokenChannel, TransformedCodec, load_codec
from sled.model.registry import save_speech_lm
from sled.training.export import export
from tests.commands import run
from tests.debug import GOLDENS, debug_codec, debug_model, debug_tokenizer, debug_waveform, randn

CHANNEL = TokenChannel.random(vocab_size=40, width=6, norm=3.0)


def with_channel() -> TransformedCodec:
    return TransformedCodec(debug_codec(), [Group(2), CHANNEL])


def test_vectors_have_their_norm_and_are_far_apart():
    tokens, numbers = torch.arange(500).repeat(3), torch.arange(3).repeat_interleave(500)
    vectors = TokenChannel.random(500, 32, norm=12.0).vectors(tokens, numbers)
    torch.testing.assert_close(vectors.norm(dim=1), torch.full((1500,), 12.0))
    assert vectors.unique(dim=0).shape == vectors.shape
    nearest = torch.cdist(vectors, vectors).fill_diagonal_(torch.inf).min()
    assert nearest > 0.5 * 12


def test_a_token_and_the_same_again_differ():
    first, again, later = CHANNEL.vectors(torch.tensor([7, 7, 7]), torch.tensor([1, 2, 4]))
    assert not first.equal(again)
    assert first[:3].equal(again[:3])  # it is the same token all the same
    assert first.equal(later)


def test_they_are_the_same_for_the_same_seed():
    assert TokenChannel.random(40, 6, 3.0).tokens.equal(CHANNEL.tokens)
    assert not TokenChannel.random(40, 6, 3.0, seed=1).tokens.equal(CHANNEL.tokens)


def test_codes_leave_it_empty_and_their_speech_is_that_of_the_codec():
    codec, base = with_channel(), TransformedCodec(debug_codec(), [Group(2)])
    (codes,) = codec.encode([torch.as_tensor(debug_waveform(0.3))])
    latents = codec.codes_to_units(codes)
    assert latents.shape[-1] == codec.latent_dim == base.latent_dim + 6
    assert (latents[..., -6:] == 0).all()
    assert CHANNEL.inverse(latents).equal(base.codes_to_units(codes))
    assert codec.digest() == base.digest()  # codes of one are codes of the other
    numbers = torch.arange(len(latents))
    written = CHANNEL.write(latents, numbers, numbers)
    torch.testing.assert_close(
        codec.decode(written[None]), base.decode(CHANNEL.inverse(latents)[None])
    )


def test_it_holds_the_token_of_each_frame_where_that_is_known():
    codec = with_channel()
    latents = randn(2, 3, codec.latent_dim)
    numbers = torch.tensor([[1, 2, 3], [2, 2, 8]])
    written = CHANNEL.write(latents, torch.tensor([[7, -1, 39], [-1, -1, 0]]), numbers)
    assert written[0, 0, -6:-3].equal(CHANNEL.tokens[7])
    assert written[0, 0, -3:].equal(CHANNEL.phases[1])
    assert written[0, 2, -6:-3].equal(CHANNEL.tokens[39])
    assert written[1, 2, -3:].equal(CHANNEL.phases[2])
    assert (written[0, 1, -6:] == 0).all()
    assert CHANNEL.inverse(written).equal(CHANNEL.inverse(latents))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_speech_is_the_same_however_latents_are_cut(pieces):
    codec = with_channel()
    latents = randn(2, sum(pieces), codec.latent_dim)
    stream = codec.stream_decoder(2)
    heard = [stream.decode(piece) for piece in latents.split(pieces, dim=1)] + [stream.finish()]
    if sum(pieces):
        torch.testing.assert_close(torch.cat(heard, 1), codec.decode(latents), rtol=0, atol=1e-5)


def test_the_command_saves_it_and_it_is_exported(tmp_path):
    CodecParts.load(GOLDENS / "codec").with_transforms(Group(2)).save(tmp_path / "grouped")
    debug_tokenizer().save_pretrained(tmp_path / "model")
    flags = ("--codec", tmp_path / "grouped", "--tokenizer", tmp_path / "model")
    flags += ("--transforms", "token-channel:5")
    assert run("codec fit", *flags, "--output", tmp_path / "codec") == 0
    made = load_codec(tmp_path / "codec")
    channel = made.token_channel
    assert channel is not None
    assert (channel.vocab_size, channel.channel_width) == (debug_tokenizer().vocab_size, 5)

    save_speech_lm(debug_model(), tmp_path / "model")
    export(tmp_path / "model", tmp_path / "export", tmp_path / "codec", "float32")
    exported = load_codec(tmp_path / "export/codec").token_channel
    assert exported is not None
    tokens = torch.tensor([[4, 5, 6]])
    assert exported.vectors(tokens, tokens).equal(channel.vectors(tokens, tokens))


def test_what_cannot_be_a_channel_is_refused(tmp_path):
    with pytest.raises(ValueError, match="give a width above 3"):
        TokenChannel.random(40, 3, 1.0)
    parts = CodecParts.load(GOLDENS / "codec").with_transforms(CHANNEL)
    with pytest.raises(ValueError, match="token-channel is there already"):
        parts.with_transforms(CHANNEL)
    with pytest.raises(ValueError, match="group after token-channel"):
        parts.with_transforms(Group(2))
    parts.save(tmp_path / "codec")
    (tmp_path / "codec/token-channel.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be used as token-channel transform"):
        load_codec(tmp_path / "codec")
    (tmp_path / "codec/token-channel.safetensors").unlink()
    with pytest.raises(ValueError, match=r"lacks its token-channel\.safetensors"):
        load_codec(tmp_path / "codec")
