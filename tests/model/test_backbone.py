"""The backbone against transformers' own Llama."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaModel

from sled.model.backbone import PackedSequences, rotary_tables
from sled.model.lm import SpeechLM
from tests.debug import debug_model, for_transformers, randn
from tests.oracles import alone

KV_HEADS = pytest.mark.parametrize("kv_heads", [4, 2, 1])
# As a processor attends, and as an accelerator does.
ONE_BY_ONE = pytest.mark.parametrize("one_by_one", [True, False])
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def llama_of(model: SpeechLM) -> LlamaModel:
    """transformers' model with the same weights, its attention written out in full."""
    config = model.config.architecture
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


@KV_HEADS
@ONE_BY_ONE
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5))
@settings(max_examples=10)
@torch.no_grad()
def test_packed_sequences_agree_with_llama_one_by_one(one_by_one, kv_heads, lengths):
    model = debug_model(num_key_value_heads=kv_heads)
    packed = randn(sum(lengths), 32)
    context = model.model.pack(lengths, packed)
    context.one_by_one = one_by_one
    hidden = model.model(packed, context)
    llama = llama_of(model)
    for ours, inputs in zip(hidden.split(lengths), packed.split(lengths), strict=True):
        expected = llama(inputs_embeds=inputs[None]).last_hidden_state[0]
        torch.testing.assert_close(ours, expected, **TOLERANCE)


@ONE_BY_ONE
def test_packed_sequences_do_not_see_one_another(one_by_one):
    """Checked by gradients, which must also pass through the padding."""
    model, lengths = debug_model(), [5, 2, 7]
    packed = randn(sum(lengths), 32).requires_grad_()
    context = model.model.pack(lengths, packed)
    context.one_by_one = one_by_one
    hidden = model.model(packed, context).split(lengths)
    for index, states in enumerate(hidden):
        (gradient,) = torch.autograd.grad(states[:, 0].sum(), packed, retain_graph=True)
        seen = [(part != 0).any(-1) for part in gradient.split(lengths)]
        assert [bool(part.all()) for part in seen] == [i == index for i in range(3)]
        assert [bool(part.any()) for part in seen] == [i == index for i in range(3)]


def test_a_processor_takes_sequences_one_by_one_but_not_when_they_are_compiled():
    model, calls = debug_model(), []

    def backend(graph, inputs):  # type: ignore[no-untyped-def]
        calls.append(sum("scaled_dot_product" in str(node.target) for node in graph.graph.nodes))
        return graph.forward

    assert not PackedSequences([2, 3], 8, 1e4, torch.empty(0, device="meta")).one_by_one
    packed, layer = randn(14, 32), model.model.layers[0]
    context = model.model.pack([5, 2, 7], packed)
    assert context.one_by_one
    expected = layer(packed, context)
    layer.compile(backend=backend)
    torch.testing.assert_close(layer(packed, context), expected, **TOLERANCE)
    assert calls == [1]


def test_gradient_checkpointing_changes_nothing_that_is_computed():
    plain, checkpointed = debug_model().train(), debug_model().train()
    checkpointed = for_transformers(checkpointed)
    checkpointed.gradient_checkpointing_enable()
    gradients = []
    for model in (plain, checkpointed):
        alone(model, randn(9, 32)).sum().backward()
        named = model.model.named_parameters()
        gradients.append({name: p.grad for name, p in named if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert all(gradients[0][name].equal(gradients[1][name]) for name in gradients[0])


def test_rotary_angles_are_exact_in_bfloat16():
    """bfloat16 holds no odd integer above 256: positions must be counted in float32."""
    exact = rotary_tables(2048, 16, 10000.0, torch.device("cpu"), torch.float32)
    rounded = rotary_tables(2048, 16, 10000.0, torch.device("cpu"), torch.bfloat16)
    for table, reference in zip(rounded, exact, strict=True):
        torch.testing.assert_close(table.float(), reference, rtol=0, atol=4e-3)
