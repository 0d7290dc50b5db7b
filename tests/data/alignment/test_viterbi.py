"""The paths of the aligner are those of an exhaustive search."""

from itertools import groupby, product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from sled.data.alignment.viterbi import CtcPath, best_paths

NUM_SYMBOLS = 4
BLANK = 0
TEXTS = st.lists(st.integers(1, NUM_SYMBOLS - 1), min_size=1, max_size=3)


def random_log_probs(num_frames: int, seed: int) -> np.ndarray:
    """[T, C]."""
    logits = np.random.default_rng(seed).normal(scale=2.0, size=(num_frames, NUM_SYMBOLS))
    return torch.from_numpy(logits).log_softmax(-1).numpy()


def best_score(log_probs: np.ndarray, text: list[int]) -> float:
    """Best score over all rows of symbols that collapse to the text; -inf if there is none."""
    best = -np.inf
    for row in product(range(NUM_SYMBOLS), repeat=len(log_probs)):
        if [symbol for symbol, _ in groupby(row) if symbol != BLANK] == text:
            best = max(best, log_probs[np.arange(len(row)), row].sum())
    return best


def symbols_of(path: CtcPath, text: list[int]) -> list[int]:
    """The symbol of each frame."""
    return [text[state // 2] if state % 2 else BLANK for state in path.states]


@given(texts=st.lists(TEXTS, min_size=1, max_size=3), num_frames=st.data(), seed=st.integers(0, 99))
def test_the_path_is_the_best_of_all(
    texts: list[list[int]], num_frames: st.DataObject, seed: int
) -> None:
    """For each clip of a batch, independently of the others."""
    lengths = [num_frames.draw(st.integers(1, 5)) for _ in texts]
    clips = [random_log_probs(length, seed + index) for index, length in enumerate(lengths)]
    padded = np.full((len(texts), 5, NUM_SYMBOLS), 7.0)
    for index, clip in enumerate(clips):
        padded[index, : len(clip)] = clip
    for clip, text, path in zip(clips, texts, best_paths(padded, lengths, texts), strict=True):
        expected = best_score(clip, text)
        if path is None:
            assert expected == -np.inf
            continue
        assert path.scores.sum() == pytest.approx(expected)
        symbols = symbols_of(path, text)
        assert [symbol for symbol, _ in groupby(symbols) if symbol != BLANK] == text
        np.testing.assert_array_equal(path.scores, clip[np.arange(len(clip)), symbols])


@given(text=st.lists(st.integers(1, 3), min_size=1, max_size=20), seed=st.integers(0, 99))
def test_no_path_is_likelier_than_all_paths_together(text: list[int], seed: int) -> None:
    log_probs = random_log_probs(50, seed)
    (path,) = best_paths(log_probs[None], [50], [text])
    assert path is not None
    lengths = torch.tensor([50]), torch.tensor([len(text)])
    loss = F.ctc_loss(torch.from_numpy(log_probs), torch.tensor(text), *lengths, reduction="sum")
    assert path.scores.sum() <= -loss.item() + 1e-9
    assert (np.diff(path.states) >= 0).all()
    assert set(range(1, 2 * len(text), 2)) <= set(path.states)


@pytest.mark.parametrize(("text", "frames_needed"), [([1], 1), ([1, 2], 2), ([1, 1, 1, 2], 6)])
def test_repeated_symbols_need_a_blank_between_them(text: list[int], frames_needed: int) -> None:
    for num_frames in (frames_needed - 1, frames_needed):
        if num_frames:
            (path,) = best_paths(random_log_probs(num_frames, 0)[None], [num_frames], [text])
            assert (path is None) == (num_frames < frames_needed)
