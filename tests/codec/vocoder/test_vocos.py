"""Vocos: its spectrum against PyTorch's inverse, as a stream, in files, and in training."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sled.codec.features import MEL_24K, log_mel
from sled.codec.memory import Memory
from sled.codec.token_codec.streaming import VocoderStream
from sled.codec.vocoder.files import load_vocoder, save_vocoder
from sled.codec.vocoder.overlap import overlap_add
from sled.codec.vocoder.vocos import Vocos, VocosSizes
from sled.training.vocoder.discriminator import VocoderDiscriminator
from sled.training.vocoder.learner import VocoderLearner, VocoderTraining
from tests.debug import randn


def tiny() -> Vocos:
    torch.manual_seed(0)
    return Vocos(VocosSizes(dim=16, intermediate_dim=24, num_layers=2)).eval()


@torch.no_grad()
@settings(max_examples=8)
@given(st.lists(st.integers(0, 12), max_size=8), st.integers(1, 2), st.integers(0, 99))
def test_pieces_are_the_whole_and_come_as_told(sizes: list[int], batch: int, seed: int) -> None:
    vocoder = tiny()
    stream, fed, pieces = VocoderStream(vocoder), 0, []
    mel = randn(batch, 80, sum(sizes) + 1, seed=seed)
    state = stream.new_state(batch, mel.device)
    for piece in mel.split([*sizes, 1], -1):
        samples, state = stream.feed(state, piece, last=False)
        fed += piece.shape[-1]
        pieces.append(samples)
        assert sum(one.shape[-1] for one in pieces) == stream.samples_after(fed)
    pieces.append(stream.feed(state, mel[..., :0], last=True)[0])
    whole = vocoder(mel)
    assert whole.shape == (batch, mel.shape[-1] * vocoder.hop_length)
    assert (torch.cat(pieces, -1) - whole).norm() < 1e-5 * whole.norm()


def test_overlapping_windows_add_up_as_in_pytorch() -> None:
    size, hop = 64, 16
    window, spectrum = torch.hann_window(size), torch.fft.rfft(randn(2, 9, size))
    waves = torch.fft.irfft(spectrum, size) * window
    ours = overlap_add(waves, window, hop, size // 2, Memory.of_whole())
    theirs = torch.istft(spectrum.mT, size, hop, window=window)
    assert torch.allclose(ours, theirs[:, : ours.shape[-1]], atol=1e-5)


@torch.no_grad()
def test_files_and_bare_weights_give_the_same_vocoder(tmp_path: Path) -> None:
    vocoder, mel = tiny(), randn(1, 80, 12)
    save_vocoder(vocoder, tmp_path / "folder")
    torch.save(vocoder.published_state(), tmp_path / "vocos.pt")
    for path in (tmp_path / "folder", tmp_path / "vocos.pt"):
        again = load_vocoder(path)
        assert again.to_dict() == vocoder.to_dict()
        assert again.step(mel, Memory.of_whole()).equal(vocoder(mel))
    with pytest.raises(ValueError, match="no multiple"):
        VocosSizes(n_fft=1000)


@pytest.mark.parametrize("multi_scale", [False, True])
def test_it_learns_a_tone(multi_scale: bool) -> None:
    tone = 0.3 * (2 * math.pi * 200 * torch.arange(16 * 480) / 24_000).sin()[None]
    batch = {"speech_feat": log_mel(tone, MEL_24K).mT, "speech": tone}
    training = VocoderTraining(
        learning_rate=3e-3, multi_scale=multi_scale, adversarial_from=9, bf16=True
    )
    judges = VocoderDiscriminator(2, 2, periods=(2,), resolutions=((64, 16, 64),))
    learner = VocoderLearner(tiny(), judges, training, torch.Generator())
    before = learner.evaluate([batch])
    losses = [learner.train_step(*learner.take(batch)) for _ in range(10)]
    assert losses[0].keys() == {"mel"}
    assert "discriminator" in losses[9]
    assert learner.evaluate([batch]) < 0.9 * before
