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


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 99))
def test_whole_groups_are_mixed_and_split_again(num_linguistic, num_semantic, seed):
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
