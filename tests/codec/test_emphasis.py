"""Latents in which sounds count for more."""

import pytest
import torch

from sled.codec import LatentMap, emphasize_sounds, group_codes, group_frames, load_codec
from sled.codec.emphasis import emphasis
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


def sounds_share(pairs: list[tuple[torch.Tensor, torch.Tensor]], latent_map: LatentMap) -> float:
    """Variance between sounds' means over all variance, counted sound by sound."""
    latents = torch.cat([one for one, _ in pairs])
    mapped = (latents - latent_map.mean) @ latent_map.matrix
    sounds = torch.cat([one for _, one in pairs])
    means = torch.stack([mapped[sounds == sound].mean(0) for sound in range(NUM_SOUNDS)])[sounds]
    return float(means.var(0, unbiased=False).sum() / mapped.var(0, unbiased=False).sum())


@pytest.mark.parametrize("strength", [0.0, 2.0, 20.0])
def test_the_share_of_sounds_is_as_told_and_grows_with_the_strength(strength):
    pairs = clips()
    latent_map, (before, after) = emphasis(pairs, strength)
    identity = LatentMap(torch.zeros(8), torch.eye(8))
    assert before == pytest.approx(sounds_share(pairs, identity), rel=1e-3)
    assert after == pytest.approx(sounds_share(pairs, latent_map), rel=1e-3)
    assert after > {0.0: 0.99, 2.0: 3.0, 20.0: 10.0}[strength] * before


def test_mapped_latents_have_mean_0_and_variance_1_on_average():
    pairs = clips()
    latent_map, _ = emphasis(pairs, 4.0)
    latents = torch.cat([one for one, _ in pairs])
    mapped = (latents - latent_map.mean) @ latent_map.matrix
    torch.testing.assert_close(mapped.mean(0), torch.zeros(8), rtol=0, atol=1e-3)
    assert mapped.var(0).mean() == pytest.approx(1, rel=1e-2)


def test_frames_whose_sound_is_not_known_do_not_count():
    pairs = clips()
    strangers = (100 * torch.randn(50, 8), torch.full((50,), -1))
    ours, theirs = emphasis(pairs, 4.0)[0], emphasis([*pairs, strangers], 4.0)[0]
    torch.testing.assert_close(ours.matrix, theirs.matrix)


def test_a_map_and_then_another_is_one():
    torch.manual_seed(0)
    first, second = (LatentMap(torch.randn(4), torch.randn(4, 4)) for _ in range(2))
    both, x = first.then(second), torch.randn(7, 4)
    expected = ((x - first.mean) @ first.matrix - second.mean) @ second.matrix
    torch.testing.assert_close((x - both.mean) @ both.matrix, expected, rtol=1e-4, atol=1e-4)
    pair = torch.randn(3, 8)
    groups = first.of_groups(2)
    each = (pair.view(3, 2, 4) - first.mean) @ first.matrix
    torch.testing.assert_close((pair - groups.mean) @ groups.matrix, each.view(3, 8))


def test_the_codec_says_the_same_and_is_saved_and_loaded(tmp_path):
    group_frames(GOLDENS / "codec", 2, tmp_path / "grouped")
    waveforms = [torch.as_tensor(debug_waveform(0.8, seed=seed)) for seed in range(6)]
    stored = debug_codec().encode(waveforms)
    torch.manual_seed(0)
    sounds = [torch.randint(3, (-(-codes.shape[1] // 2),)) for codes in stored]
    pairs = zip(stored, sounds, strict=True)
    before, after = emphasize_sounds(tmp_path / "grouped", pairs, 4.0, tmp_path / "codec")
    assert after > before
    grouped, codec = load_codec(tmp_path / "grouped"), load_codec(tmp_path / "codec")
    codes = group_codes(stored[0], 2)
    latents = codec.codes_to_latents(codes)
    assert not latents.allclose(grouped.codes_to_latents(codes))
    expected = grouped.decode(grouped.codes_to_latents(codes)[None])
    torch.testing.assert_close(codec.decode(latents[None]), expected, rtol=0, atol=1e-4)


def test_what_cannot_be_emphasised_is_refused(tmp_path):
    with pytest.raises(ValueError, match="strength of -1"):
        emphasis(clips(), -1.0)
    with pytest.raises(ValueError, match="0 frames of 0 sounds are too few"):
        emphasize_sounds(GOLDENS / "codec", [], 4.0, tmp_path / "codec")
    assert not (tmp_path / "codec").exists()
