"""The two codebooks of Step-Audio; sled check has the recording."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sled.codec.speech_tokens.dual import (
    PAD_ID,
    align_codebooks,
    mix_codebooks,
    split_codebooks,
)


@given(st.integers(0, 20), st.integers(0, 1), st.integers(0, 2), st.integers(0, 99))
def test_whole_groups_are_mixed_and_split_again(whole, more_linguistic, more_semantic, seed):
    num_linguistic, num_semantic = 2 * whole + more_linguistic, 3 * whole + more_semantic
    generator = torch.Generator().manual_seed(seed)
    linguistic = torch.randint(1024, (num_linguistic,), generator=generator)
    semantic = torch.randint(4096, (num_semantic,), generator=generator)
    mixed = mix_codebooks(linguistic, semantic)
    groups = min(num_linguistic // 2, num_semantic // 3)
    assert len(mixed) == 5 * groups
    first, second = split_codebooks(mixed)
    assert first.equal(linguistic[: 2 * groups]) and second.equal(semantic[: 3 * groups])
    rows = align_codebooks(mixed)
    assert rows[:, 1].equal(second + 1025)
    assert rows[:, 0][rows[:, 0] != PAD_ID].equal(first)
    assert (rows[2::3, 0] == PAD_ID).all()


def test_tokens_out_of_range_are_refused():
    with pytest.raises(ValueError, match="semantic tokens from 1 to 4096"):
        mix_codebooks(torch.tensor([0, 1]), torch.tensor([1, 2, 4096]))


@pytest.mark.parametrize(("num_linguistic", "num_semantic"), [(66, 125), (84, 100), (3, 0)])
def test_codebooks_of_different_audio_are_not_mixed(num_linguistic, num_semantic):
    """As where one tool has trimmed silence and the other one has not."""
    seconds = [num_linguistic * 0.06, num_semantic * 0.04]
    with pytest.raises(
        ValueError, match=f"{seconds[0]:.2f} s, .* {seconds[1]:.2f} s: extract both"
    ):
        mix_codebooks(torch.zeros(num_linguistic).long(), torch.zeros(num_semantic).long())


@given(st.floats(0.1, 100), st.integers(-1, 1), st.integers(-1, 1))
def test_tokens_of_the_same_audio_may_be_rounded_in_any_way(seconds, first, second):
    counts = int(seconds * 50 / 3) + max(first, 0), int(seconds * 25) + max(second, 0)
    linguistic, semantic = (torch.zeros(count).long() for count in counts)
    assert abs(len(mix_codebooks(linguistic, semantic)) / 125 * 3 - seconds) < 0.24
