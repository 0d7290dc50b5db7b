"""Draws of heads beside recordings that were held out."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from sled.codec import load_codec
from sled.model.lm import SpeechLM
from sled.training.held_out import HeldOut, judge_draws
from tests.debug import GOLDENS, debug_model, debug_tokenizer
from tests.training.runs import make_corpus


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("held_out")) / "cached"


def judge(codes: Path, **changes: int) -> HeldOut:
    codec = load_codec(GOLDENS / "codec")
    return judge_draws(debug_model(), debug_tokenizer(), codec, codes, **changes)


def draw_as(monkeypatch: pytest.MonkeyPatch, spread: float) -> None:
    """Let all draws lie around the same far point, at this distance in each dimension."""

    def draw(model: SpeechLM, hidden: Tensor, noise: Tensor) -> Tensor:
        side = torch.where(noise[..., :1] > 0, spread, -spread)
        return side.expand(*noise.shape[:-1], model.unit_shape[0]) + 1e4

    monkeypatch.setattr(SpeechLM, "draw", draw)


def test_draws_that_are_all_the_same_have_no_spread(
    codes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_as(monkeypatch, 0.0)
    same = judge(codes)
    assert same.spread == 0 and same.num_frames > 50
    width = debug_model().unit_shape[0]
    assert same.score == pytest.approx(2e4 * width**0.5, rel=1e-2)  # units are near 0
    draw_as(monkeypatch, 1e3)
    apart = judge(codes, draws=4)
    # Half of the pairs are on different sides, 2,000 apart in each dimension.
    assert apart.spread == pytest.approx(0.1, rel=0.1)
    assert apart.score < same.score


def test_the_same_seed_finds_the_same_and_clips_can_be_left_out(codes: Path) -> None:
    found = judge(codes)
    assert found == judge(codes) != judge(codes, seed=1)
    assert found.score > 0 and 0 < found.spread < 2
    assert judge(codes, max_clips=2).num_frames < found.num_frames


def test_what_cannot_be_compared_is_refused(codes: Path) -> None:
    for changes in ({"draws": 1}, {"max_clips": 0}):
        with pytest.raises(ValueError, match="at least 2 and 1"):
            judge(codes, **changes)
