"""Mel spectrograms, filter banks and resampling; sled check compares them with recordings."""

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from sled.codec.features import (
    MEL_22K,
    MEL_24K,
    MEL_SIMPLETTS,
    kaldi_filter_bank,
    limit_peak,
    log_mel,
    resample,
    speaker_features,
    tokenizer_features,
)


def noise(num_samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(num_samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("settings", [MEL_22K, MEL_24K, MEL_24K.for_loss, MEL_SIMPLETTS])
@pytest.mark.parametrize("num_samples", [2400, 9599, 9600, 9601])
def test_the_number_of_frames_is_known_from_that_of_samples(settings, num_samples):
    assert log_mel(noise(num_samples), settings).shape == (80, settings.num_frames(num_samples))


def test_settings_do_not_share_filters():
    """Two sample rates in one process: each has its own filters, in any order of use."""
    waveform = noise(9600)
    before = log_mel(waveform, MEL_24K)
    log_mel(waveform, MEL_24K.for_loss), log_mel(waveform, MEL_22K)
    assert log_mel(waveform, MEL_24K).equal(before)
    assert not log_mel(waveform, MEL_24K.for_loss).allclose(before)


def test_a_batch_is_its_waveforms_alone_and_gradients_flow():
    batch = torch.stack([noise(4800, seed) for seed in range(3)]).requires_grad_()
    mels = log_mel(batch, MEL_24K)
    for row, waveform in zip(mels, batch, strict=True):
        torch.testing.assert_close(row, log_mel(waveform, MEL_24K))
    mels.sum().backward()
    assert batch.grad is not None and batch.grad.abs().min() > 0


@pytest.mark.parametrize("num_samples", [1600, 16_001, 40_000])
def test_features_of_tokenizers_are_those_of_whisper(num_samples):
    waveform = noise(num_samples)
    extractor = WhisperFeatureExtractor(feature_size=128)
    theirs = extractor(waveform.numpy(), sampling_rate=16_000, padding=False, truncation=False)
    ours = tokenizer_features(waveform)
    np.testing.assert_allclose(ours, theirs["input_features"][0], atol=1e-4)


def test_speaker_features_have_no_mean_and_need_a_window():
    features = speaker_features(noise(16_000))
    assert features.shape == (98, 80)
    torch.testing.assert_close(features.mean(0), torch.zeros(80), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="25 ms"):
        kaldi_filter_bank(noise(399))


def test_a_waveform_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match="too few"):
        log_mel(noise(100), MEL_24K)


def test_resampling_keeps_a_tone_and_the_duration():
    time = torch.arange(24_000) / 24_000
    there = resample(torch.sin(2 * torch.pi * 440 * time), 24_000, 16_000)
    assert there.shape == (16_000,)
    wanted = torch.sin(2 * torch.pi * 440 * torch.arange(16_000) / 16_000)
    torch.testing.assert_close(there[100:-100], wanted[100:-100], atol=2e-3, rtol=0)
    assert resample(there, 16_000, 16_000) is there


def test_a_loud_waveform_is_scaled_as_a_whole():
    assert limit_peak(torch.tensor([0.5, -2.0])).tolist() == [0.25, -1.0]
    quiet = torch.tensor([0.5, -0.25])
    assert limit_peak(quiet) is quiet
