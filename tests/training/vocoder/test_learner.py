"""Training of vocoders: the loss falls, and a continued run is the same as an uninterrupted one."""

from __future__ import annotations

import io
import math

import pytest
import torch
from torch import Tensor

from sled.codec.features import MEL_24K, log_mel
from sled.codec.vocoder.files import load_vocoder
from sled.training.vocoder.discriminator import VocoderDiscriminator
from sled.training.vocoder.learner import VocoderLearner, VocoderTraining
from sled.training.vocoder.losses import relativistic_loss
from sled.training.vocoder.pitch import pitch_of
from tests.codec.flow.models import RECORDED
from tests.debug import randn


def new_learner(**changes: float) -> VocoderLearner:
    torch.manual_seed(0)
    discriminator = VocoderDiscriminator(2, 2, periods=(2, 3), resolutions=((64, 16, 64),))
    training = VocoderTraining(**({"learning_rate": 2e-3} | changes))  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    return VocoderLearner(load_vocoder(RECORDED / "hift_24k"), discriminator, training, generator)


def tones() -> tuple[Tensor, Tensor, Tensor]:
    """Two tones of 150 and 220 Hz: mel frames, waveforms and frequencies."""
    pitch = torch.tensor([[150.0], [220.0]])
    time = torch.arange(8 * 480) / 24_000
    waveforms = 0.3 * (2 * math.pi * pitch * time).sin()
    return log_mel(waveforms, MEL_24K), waveforms, pitch.expand(-1, 8)


def test_the_losses_fall() -> None:
    learner, batch = new_learner(), tones()
    losses = [learner.train_step(*batch) for _ in range(12)]
    assert losses[0].keys() == {
        "mel",
        "f0",
        "adversarial",
        "feature",
        "relativistic",
        "discriminator",
    }
    for name in ("mel", "f0", "discriminator"):
        assert losses[-1][name] < losses[0][name]


def test_the_discriminator_may_join_later() -> None:
    learner = new_learner(adversarial_from=1)
    mel, waveforms, _ = tones()
    weights = [one.clone() for one in learner.discriminator.parameters()]
    assert learner.train_step(mel, waveforms, None).keys() == {"mel"}
    changed = zip(weights, learner.discriminator.parameters(), strict=True)
    assert all(before.equal(after) for before, after in changed)
    assert "discriminator" in learner.train_step(mel, waveforms, None)


def test_a_continued_run_is_the_same() -> None:
    whole, interrupted, batch = new_learner(), new_learner(), tones()
    for _ in range(2):
        whole.train_step(*batch)
    interrupted.train_step(*batch)
    file = io.BytesIO()
    torch.save(interrupted.state_dict(), file)
    file.seek(0)
    continued = new_learner()
    continued.load_state_dict(torch.load(file, weights_only=True))
    continued.train_step(*batch)
    for ours, theirs in zip(
        continued.vocoder.parameters(), whole.vocoder.parameters(), strict=True
    ):
        assert ours.equal(theirs)


@pytest.mark.parametrize("margin", [0.04, 100.0])
def test_the_relativistic_loss_is_that_of_differences_below_the_median(margin: float) -> None:
    better, worse = randn(2, 9, seed=1), randn(2, 9, seed=2)
    difference = (better - worse).flatten().sort().values
    median = difference[(len(difference) - 1) // 2]
    wanted = (difference[difference < median] - median).square().mean().clamp(max=margin)
    assert torch.allclose(relativistic_loss([[better]], [[worse]], margin), wanted)


def test_batches_of_corpora_are_learned_and_evaluated() -> None:
    learner, (mel, waveforms, pitch) = new_learner(), tones()
    batch = {"speech_feat": mel.mT, "speech": waveforms, "pitch_feat": pitch}
    before = learner.evaluate([batch])
    for _ in range(5):
        losses = learner.train_step(*learner.take(batch))
    assert "f0" in losses
    assert learner.evaluate([batch]) < before
    assert learner.published_state().keys() == learner.vocoder.state_dict().keys()
    with pytest.raises(ValueError, match="no batch to evaluate"):
        learner.evaluate([])


@pytest.mark.slow  # librosa compiles its search
def test_the_pitch_of_a_tone_is_its_frequency() -> None:
    _, waveforms, _ = tones()
    silence = torch.zeros(8 * 480)
    found = pitch_of(24_000, 480)(torch.cat((waveforms[1], waveforms[1], silence)), 24)
    assert found.shape == (24,)
    assert (found[3:12] - 220).abs().max() < 5
    assert (found[-5:] == 0).all()
