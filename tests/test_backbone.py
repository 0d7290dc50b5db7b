"""The backbone against transformers' own Llama, and its cache against no cache at all."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaModel

from sled.backbone import KVCache, rotary_tables
from sled.model import SpeechLlamaForCausalLM
from tests.debug import debug_model, randn

KV_HEADS = pytest.mark.parametrize("kv_heads", [4, 2, 1])
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def llama_of(model: SpeechLlamaForCausalLM) -> LlamaModel:
    """transformers' model with the same weights, its attention written out in full."""
    config = model.config
    llama = LlamaModel(
        LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            rms_norm_eps=config.rms_norm_eps,
            rope_theta=config.rope_theta,
            max_position_embeddings=config.max_position_embeddings,
            attn_implementation="eager",
        )
    )
    llama.load_state_dict(model.model.state_dict())
    return llama.eval()


def new_cache(model: SpeechLlamaForCausalLM, rows: int, capacity: int) -> KVCache:
    return KVCache.allocate(model.config, rows, capacity, torch.device("cpu"), torch.float32)


@KV_HEADS
@torch.no_grad()
def test_agrees_with_llama(kv_heads):
    model = debug_model(num_key_value_heads=kv_heads)
    embeddings = randn(3, 40, 32)
    expected = llama_of(model)(inputs_embeds=embeddings).last_hidden_state
    torch.testing.assert_close(model.model(embeddings), expected, **TOLERANCE)


@KV_HEADS
@torch.no_grad()
def test_cached_pieces_agree_with_llama(kv_heads):
    model = debug_model(num_key_value_heads=kv_heads, head_dim=12, rope_theta=500.0)
    embeddings = randn(2, 21, 32)
    cache = new_cache(model, rows=2, capacity=21)
    pieces = [model.model(piece, cache, [7, 7]) for piece in embeddings.split(7, dim=1)]
    expected = llama_of(model)(inputs_embeds=embeddings).last_hidden_state
    torch.testing.assert_close(torch.cat(pieces, dim=1), expected, **TOLERANCE)


@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=8), kv_heads=st.sampled_from([4, 2]))
@torch.no_grad()
def test_chunks_of_any_sizes_equal_the_whole(sizes, kv_heads):
    model = debug_model(num_key_value_heads=kv_heads)
    embeddings = randn(1, sum(sizes), 32)
    cache = new_cache(model, rows=1, capacity=sum(sizes))
    chunks = [model.model(chunk, cache, [chunk.shape[1]]) for chunk in embeddings.split(sizes, 1)]
    torch.testing.assert_close(torch.cat(chunks, dim=1), model.model(embeddings), **TOLERANCE)


@given(st.lists(st.lists(st.integers(1, 5), min_size=3, max_size=3), min_size=1, max_size=6))
@torch.no_grad()
def test_ragged_rows_equal_rows_alone(steps):
    """Each step feeds three rows a different number of inputs; padding holds rubbish."""
    model = debug_model()
    lengths = [sum(counts) for counts in zip(*steps, strict=True)]
    rows = [randn(length, 32, seed=row) for row, length in enumerate(lengths)]
    cache = new_cache(model, rows=3, capacity=max(lengths) + 5)
    read, hidden = [0, 0, 0], [[], [], []]
    for counts in steps:
        padded = torch.full((3, max(counts), 32), 1e3)
        for row, count in enumerate(counts):
            padded[row, :count] = rows[row][read[row] : read[row] + count]
            read[row] += count
        for row, output in enumerate(model.model(padded, cache, counts)):
            hidden[row].append(output[: counts[row]])
    for row, inputs in enumerate(rows):
        alone = model.model(inputs[None])[0]
        torch.testing.assert_close(torch.cat(hidden[row]), alone, **TOLERANCE)


@torch.no_grad()
def test_rows_that_leave_do_not_disturb_those_that_stay():
    model = debug_model()
    embeddings = randn(3, 9, 32)
    cache = new_cache(model, rows=3, capacity=9)
    model.model(embeddings[:, :6], cache, [6, 6, 6])
    cache.select([2, 0])
    rest = model.model(embeddings[[2, 0], 6:], cache, [3, 3])
    torch.testing.assert_close(rest, model.model(embeddings[[2, 0]])[:, 6:], **TOLERANCE)


def test_rotary_angles_are_exact_in_bfloat16():
    """bfloat16 holds no odd integer above 256: positions must be counted in float32."""
    exact = rotary_tables(2048, 16, 10000.0, torch.device("cpu"), torch.float32)
    rounded = rotary_tables(2048, 16, 10000.0, torch.device("cpu"), torch.bfloat16)
    for table, reference in zip(rounded, exact, strict=True):
        torch.testing.assert_close(table.float(), reference, rtol=0, atol=4e-3)
