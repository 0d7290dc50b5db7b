"""Latents in which sounds count for more."""

import pytest
import torch

from sled.codec import CodecParts, Emphasize, Group, TransformedCodec, group_codes, load_codec
from tests.debug import GOLDENS, debug_codec, debug_waveform

NUM_SOUNDS = 5


def clips(num_frames: int = 4000, width: int = 8) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Latents of which the first direction alone tells sounds apart, and the second is wide."""
    torch.manual_seed(0)
    sounds = torch.randint(NUM_SOUNDS, (num_frames,))
    latents = torch.randn(num_frames, width)
    latents[:, 0] += sounds
    latents[:, 1] *= 5
    turned = torch.linalg.qr(torch.randn(width, width))[0]
    return list(zip((latents @ turned + 3).split(500), sounds.split(500), strict=True))


def debug_codes() -> list[torch.Tensor]:
    waveforms = [torch.as_tensor(debug_waveform(0.8, seed=seed)) for seed in range(6)]
    return debug_codec().encode(waveforms)


def all_latents(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    return torch.cat([one for one, _ in pairs])


def sounds_share(pairs: list[tuple[torch.Tensor, torch.Tensor]], latents: torch.Tensor) -> float:
    """Variance between sounds' means over all variance, counted sound by sound."""
    sounds = torch.cat([one for _, one in pairs])
    means = torch.stack([latents[sounds == sound].mean(0) for sound in range(NUM_SOUNDS)])[sounds]
    return float(means.var(0, unbiased=False).sum() / latents.var(0, unbiased=False).sum())


@pytest.mark.parametrize("strength", [0.0, 2.0, 20.0])
def test_the_share_of_sounds_is_as_told_and_grows_with_the_strength(strength):
    pairs = clips()
    emphasis, (before, after) = Emphasize.of(pairs, strength)
    latents = all_latents(pairs)
    assert before == pytest.approx(sounds_share(pairs, latents), rel=1e-3)
    assert after == pytest.approx(sounds_share(pairs, emphasis.forward(latents)), rel=1e-3)
    assert after > {0.0: 0.99, 2.0: 3.0, 20.0: 10.0}[strength] * before


def test_emphasised_latents_have_mean_0_and_variance_1_on_average():
    pairs = clips()
    emphasised = Emphasize.of(pairs, 4.0)[0].forward(all_latents(pairs))
    torch.testing.assert_close(emphasised.mean(0), torch.zeros(8), rtol=0, atol=1e-3)
    assert emphasised.var(0).mean() == pytest.approx(1, rel=1e-2)


def test_it_is_undone():
    pairs = clips()
    emphasis, latents = Emphasize.of(pairs, 4.0)[0], all_latents(pairs)
    torch.testing.assert_close(
        emphasis.inverse(emphasis.forward(latents)), latents, rtol=0, atol=1e-4
    )


def test_frames_whose_sound_is_not_known_do_not_count():
    pairs = clips()
    strangers = (100 * torch.randn(50, 8), torch.full((50,), -1))
    ours, theirs = Emphasize.of(pairs, 4.0)[0], Emphasize.of([*pairs, strangers], 4.0)[0]
    torch.testing.assert_close(ours.forward(pairs[0][0]), theirs.forward(pairs[0][0]))


def test_the_codec_says_the_same_and_is_saved_and_loaded(tmp_path):
    parts = CodecParts.load(GOLDENS / "codec").with_transforms(Group(2))
    grouped, stored = parts.assemble(), debug_codes()
    torch.manual_seed(0)
    latents = [grouped.codes_to_units(group_codes(codes, 2)) for codes in stored]
    pairs = [(one, torch.randint(3, (len(one),))) for one in latents]
    emphasis, (before, after) = Emphasize.of(pairs, 4.0)
    assert after > before
    parts.with_transforms(emphasis).save(tmp_path / "codec")
    codec, codes = load_codec(tmp_path / "codec"), group_codes(stored[0], 2)
    latents = codec.codes_to_units(codes)
    assert not latents.allclose(grouped.codes_to_units(codes))
    expected = grouped.decode(grouped.codes_to_units(codes)[None])
    torch.testing.assert_close(codec.decode(latents[None]), expected, rtol=0, atol=1e-4)


def test_what_cannot_be_emphasised_is_refused(tmp_path):
    with pytest.raises(ValueError, match="strength of -1"):
        Emphasize.of(clips(), -1.0)
    with pytest.raises(ValueError, match="0 frames of 0 sounds are too few"):
        Emphasize.of([], 4.0)
    parts = CodecParts.load(GOLDENS / "codec")
    latents = map(parts.assemble().codes_to_units, debug_codes())
    emphasis, _ = Emphasize.of([(one, torch.arange(len(one)) % 3) for one in latents], 4.0)
    with pytest.raises(ValueError, match="latents of 32, the codec's have 64"):
        TransformedCodec(debug_codec(), [Group(2), emphasis])
    parts = parts.with_transforms(emphasis)
    with pytest.raises(ValueError, match="emphasize is there already"):
        parts.with_transforms(emphasis)
    parts.save(tmp_path / "codec")
    (tmp_path / "codec/emphasize.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be used as emphasize transform"):
        load_codec(tmp_path / "codec")
