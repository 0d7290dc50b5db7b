"""Digits of speech tokens, and tables that begin with them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sled.codec.speech_tokens.network import ScalarQuantizer, TokenizerSizes
from sled.model.tokens.cosyvoice2 import CosyVoice2LM
from sled.model.tokens.digits import FSQ_DIGITS, FSQ_SIZE, begin_with_digits, token_digits
from tests.debug import randn
from tests.tokens import debug_cosyvoice2


def test_the_digits_of_a_token_are_those_that_the_quantizer_rounded() -> None:
    quantizer = ScalarQuantizer(TokenizerSizes(version=2, n_audio_state=FSQ_DIGITS, n_audio_head=1))
    states = 3 * randn(1, 200, FSQ_DIGITS)
    levels = quantizer.levels(states).round()
    assert token_digits()[quantizer(states)].equal(levels)
    assert len(token_digits().unique(dim=0)) == FSQ_SIZE


def test_similar_tokens_have_similar_rows() -> None:
    table = randn(FSQ_SIZE + 3, 64)
    before = table.clone()
    begin_with_digits(table)
    assert table[FSQ_SIZE:].equal(before[FSQ_SIZE:])
    torch.testing.assert_close(table[:FSQ_SIZE].std(), before[:FSQ_SIZE].std())
    first, near, far = table[0], table[1], table[-4]  # one digit differs by one; all by two
    assert (first - near).norm() < 0.5 * (first - far).norm()
    with pytest.raises(ValueError, match="none of 6561 tokens"):
        begin_with_digits(table[:100])


@pytest.mark.parametrize(("size", "alike"), [(FSQ_SIZE, True), (FSQ_SIZE - 1, False)])
def test_a_new_language_model_begins_so_if_its_tokens_have_digits(size: int, alike: bool) -> None:
    model = CosyVoice2LM(replace(debug_cosyvoice2().sizes, speech_token_size=size))
    model.initialize()
    for table in (model.speech_embedding.weight, model.llm_decoder.weight):
        similar = torch.nn.functional.cosine_similarity(table[3000], table[3001], dim=0)
        assert bool(similar > 0.6) == alike
