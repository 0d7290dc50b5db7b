"""The vocoder: as a stream and as a whole, and in files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from sled.codec.memory import Memory
from sled.codec.vocoder.files import load_vocoder, save_vocoder
from sled.codec.vocoder.hift import HiFT, HiFTSizes
from sled.codec.vocoder.source import Source, fixed_phase
from tests.codec.flow.models import RECORDED
from tests.codec.vocoder.models import RATES, tiny_vocoder
from tests.debug import randn

each = pytest.mark.parametrize("rate", RATES)


@torch.no_grad()
def in_pieces(vocoder: HiFT, mel: Tensor, sizes: list[int]) -> list[Tensor]:
    before: list[Tensor] | None = None
    pieces = []
    for piece in mel.split(sizes, -1):
        memory = Memory(before)
        pieces.append(vocoder.step(piece, memory))
        before = memory.after
    return [*pieces, vocoder.step(mel[..., :0], Memory(before, ends=True))]


@each
@settings(max_examples=6)
@given(
    first=st.integers(0, 9),
    sizes=st.lists(st.integers(0, 9), max_size=8),
    batch=st.integers(1, 2),
    seed=st.integers(0, 99),
)
@example(first=0, sizes=[1] * 20, batch=1, seed=0)
def test_pieces_are_the_whole(
    rate: str, first: int, sizes: list[int], batch: int, seed: int
) -> None:
    vocoder = tiny_vocoder(rate)
    sizes = [vocoder.lookahead_frames + first, *sizes]
    mel = randn(batch, 80, sum(sizes), seed=seed)
    with torch.no_grad():
        whole, _ = vocoder(mel)
    assert whole.shape == (batch, sum(sizes) * vocoder.hop_length)
    pieces = torch.cat(in_pieces(vocoder, mel, sizes), -1)
    assert relative_error(pieces, whole) < 1e-5


@each
def test_samples_come_out_after_the_lookahead(rate: str) -> None:
    vocoder = tiny_vocoder(rate)
    ahead = vocoder.lookahead_frames
    pieces = in_pieces(vocoder, randn(1, 80, ahead + 4), [ahead, 1, 3])
    counts = torch.tensor([piece.shape[-1] for piece in pieces]).cumsum(0)
    for frames, samples in zip((0, 1, 4), counts.tolist(), strict=False):
        assert frames * vocoder.hop_length <= samples < (frames + 1) * vocoder.hop_length


@pytest.mark.parametrize("kind", ["1", "2"])
def test_the_source_of_a_constant_pitch_is_a_sine_also_after_minutes(kind: str) -> None:
    """In pieces, the phase goes on where it was; no rounding errors add up."""
    hop, sample_rate, pitch = 480, 24_000, 123.4
    source = Source(kind, sample_rate, hop, 0, 0.1, 0.0, 10.0)
    with torch.no_grad():
        source.l_linear.weight.fill_(1.0)
        source.l_linear.bias.zero_()
    frames, before = 6_000, None  # two minutes
    for _ in range(2):
        memory = Memory(before)
        made = source.step(torch.full((1, frames), pitch), memory, torch.zeros(1), None)
        before = memory.after
    newest = made[0, 0, -100:].detach().double()
    last = 2 * frames * hop - (hop // 2 if kind == "2" else 0)
    # A rate in cycles for each sample, in float32 as in the published code.
    cycles = float(torch.tensor(pitch) / sample_rate)
    index = torch.arange(last - 100, last, dtype=torch.float64)
    # Each sample adds its rate; or each frame does, in its middle.
    steps = index + (1 if kind == "1" else hop / 2 + 0.5)
    wanted = (0.1 * (2 * math.pi * steps * cycles).sin()).tanh()
    assert float((newest - wanted).abs().max()) < 1e-5


def test_the_phase_of_the_fundamental_begins_at_zero() -> None:
    phase = fixed_phase(9)
    assert phase[0] == 0
    assert (phase[1:] != 0).all()


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


@each
def test_a_vocoder_for_inference_is_the_same_and_is_saved_under_published_names(
    rate: str, tmp_path: Path
) -> None:
    mel, vocoder = randn(1, 80, 5), load_vocoder(RECORDED / f"hift_{rate}")
    save_vocoder(tiny_vocoder(rate), tmp_path)
    again = load_vocoder(tmp_path)
    with torch.no_grad():
        wanted, _ = vocoder(mel)
        for one in (tiny_vocoder(rate), again):
            assert relative_error(one(mel)[0], wanted) < 1e-4
    state = {name: tensor.shape for name, tensor in vocoder.state_dict().items()}
    assert {name: one.shape for name, one in again.state_dict().items()} == state
    assert again.to_dict() == vocoder.to_dict()


def test_state_dicts_of_either_spelling_and_of_training_load(tmp_path: Path) -> None:
    vocoder = load_vocoder(RECORDED / "hift_24k")
    state = vocoder.state_dict()

    def older(name: str) -> str:
        name = name.replace("parametrizations.weight.original0", "weight_g")
        return name.replace("parametrizations.weight.original1", "weight_v")

    path = tmp_path / "hift.pt"
    for spelled in (
        {older(name): one for name, one in state.items()},
        {f"generator.{name}": one for name, one in state.items()}
        | {"discriminator.weight": torch.zeros(1)},
    ):
        torch.save(spelled, path)
        again = load_vocoder(path)
        assert again.to_dict() == vocoder.to_dict()
        assert all(again.state_dict()[name].equal(one) for name, one in state.items())


def test_published_sizes_have_the_published_number_of_parameters() -> None:
    old = HiFTSizes(
        sampling_rate=22_050,
        upsample_rates=(8, 8),
        upsample_kernel_sizes=(16, 16),
        source_resblock_kernel_sizes=(7, 11),
        source_resblock_dilation_sizes=((1, 3, 5),) * 2,
        sinegen="1",
    )
    with torch.device("meta"):
        counts = [
            sum(one.numel() for one in HiFT(sizes).parameters()) for sizes in (old, HiFTSizes())
        ]
    assert [round(count / 1e6, 1) for count in counts] == [20.5, 20.8]
