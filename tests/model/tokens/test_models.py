"""CosyVoice and SimpleTTS in the decoding loop, the attention by distance, and experts."""

from collections.abc import Callable
from copy import copy, deepcopy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sled.decoding import Decoder, DecodingOptions, Request, generate
from sled.loading import check_parts
from sled.model.layout import Layout
from sled.model.tokens.cosyvoice import CosyVoiceLM
from sled.model.tokens.lm import TokenLM
from sled.model.tokens.relative_attention import RelativeAttention, RelativeStack, TransformerLayer
from sled.tts import TTS
from tests.debug import debug_prompt, debug_waveform, randn
from tests.ids import debug_id_codec
from tests.tokens import (
    SlowSampler,
    debug_cosyvoice,
    debug_ended_simpletts,
    debug_simpletts,
    debug_token_tokenizer,
    speak_whole,
    text_ends,
)

TEXT = "four two seven one nine"
BEGIN_SPEECH = 300
SPEAKER = {"speaker": randn(6)}
both_models = pytest.mark.parametrize(
    "make_model", [debug_cosyvoice, debug_simpletts, debug_ended_simpletts]
)


@both_models
@given(
    text=st.lists(st.integers(4, 299), min_size=1, max_size=12),
    cuts=st.lists(st.integers(0, 12), max_size=4).map(sorted),
    prompt=st.lists(st.integers(0, 23), max_size=6),
    seed=st.integers(0, 1000),
)
@settings(max_examples=12, deadline=None)
def test_a_text_gives_the_published_ids_however_it_is_cut(make_model, text, cuts, prompt, seed):
    model = make_model()
    sampler = SlowSampler(seed, model.config.speaking.sampling(), 1.0)
    prompt_text = text[: len(prompt)]
    expected = speak_whole(model, text, sampler, prompt_text, prompt, SPEAKER)
    cuts = [min(cut, len(text)) for cut in cuts]
    decoder, spoken = Decoder(model), []
    units = torch.tensor(prompt) if prompt else None
    before, after = text_ends(model)
    begun = [*before, *prompt_text]
    request = Request(begun, units, False, len(begun) if prompt else 0, SPEAKER)
    options = DecodingOptions.of_model(model.config)
    generator = torch.Generator().manual_seed(seed)
    utterance = decoder.join(request, generator, options)
    for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True):
        decoder.feed(utterance, text[start:stop])
        assert decoder.step() is None  # reads, if it is worth a pass
    decoder.feed(utterance, [*after, BEGIN_SPEECH], ended=True)
    while decoder.utterances:
        step = decoder.step()
        assert step is not None
        spoken += [
            int(unit) for unit, ends in zip(step.units, step.stopped, strict=True) if not ends
        ]
    assert spoken == expected


@both_models
def test_a_session_says_the_published_ids(make_model):
    model = make_model()
    tokenizer = debug_token_tokenizer(model)
    tts = TTS(model, tokenizer, debug_id_codec())
    voice = tts.make_voice(debug_prompt("one four one", debug_waveform(0.1), SPEAKER))
    plain = debug_token_tokenizer(debug_cosyvoice())
    prompt = plain.encode("one four one")[:-1]
    text = plain.encode(f"one four one {TEXT}")[len(prompt) : -1]
    sampler = SlowSampler(5, model.config.speaking.sampling(), 1.0)
    expected = speak_whole(model, text, sampler, prompt, voice.units.tolist(), SPEAKER)
    with tts.open_session(seed=5, voice=voice) as session:
        for character in TEXT:
            session.feed(character)
        session.flush()
        units = [chunk.units for chunk in session.chunks()]
    assert torch.cat(units).tolist() == expected


@both_models
def test_a_speaker_vector_may_have_any_length(make_model):
    model = make_model()
    one = model.embed_conditions(SPEAKER)
    for scale in (3.0, 1e-3):
        other = model.embed_conditions({"speaker": scale * SPEAKER["speaker"]})
        torch.testing.assert_close(one, other)
    # Halves hold no square of so large a vector.
    half = deepcopy(model).half().embed_conditions({"speaker": 500 * SPEAKER["speaker"]})
    torch.testing.assert_close(half.float(), one, atol=1e-2, rtol=1e-2)


def test_a_speaker_vector_may_be_missing():
    model = debug_cosyvoice()
    one = model.embed_conditions(SPEAKER)
    assert model.embed_conditions({}).equal(one[:1])
    with pytest.raises(ValueError, match="speaker or none; style"):
        model.embed_conditions({"style": randn(6)})
    with pytest.raises(ValueError, match="speaker; none"):
        debug_simpletts().embed_conditions({})


def test_all_weights_of_a_model_in_training_get_gradients_also_without_speaker_vectors():
    model = deepcopy(debug_cosyvoice()).train()  # as data parallelism needs
    model.embed_conditions({}).sum().backward()
    assert all(not weight.grad.any() for weight in model.spk_embed_affine_layer.parameters())


def test_ids_that_the_codec_does_not_have_are_never_drawn():
    """SimpleTTS's vocabulary has room for more codebooks than the speech tokenizer has."""
    model, codec = deepcopy(debug_simpletts()), copy(debug_id_codec())
    tokenizer, options = debug_token_tokenizer(model), DecodingOptions.of_model(model.config)
    requests = [Request([*range(4, 14), BEGIN_SPEECH], conditions=SPEAKER)] * 4

    def largest(temperature: float) -> int:
        generators = [torch.Generator().manual_seed(seed) for seed in range(4)]
        hot = replace(options, temperature=temperature)
        return max(int(one.speech.max()) for one in generate(model, requests, generators, hot))

    assert largest(2.0) == 23
    codec.codebook_size = 7
    check_parts(model.config, tokenizer, codec)
    assert max(map(largest, (0.0, 1.0))) <= 6
    assert largest(50.0) == 6
    check_parts(model.config, tokenizer, debug_id_codec())  # which has all
    assert largest(2.0) == 23


def test_a_text_encoder_takes_no_chunks_of_text():
    with pytest.raises(ValueError, match="reads the whole text"):
        Decoder(debug_cosyvoice()).join(
            Request([4, BEGIN_SPEECH], conditions=SPEAKER),
            options=DecodingOptions(cfg=1.0),
            layout=Layout(3, 4),
        )


@both_models
def test_ids_of_a_batch_are_those_of_each_text_alone(make_model: Callable[[], TokenLM]):
    model = make_model()
    options = DecodingOptions.of_model(model.config)
    requests = [
        Request([*range(4, 4 + size), BEGIN_SPEECH], conditions=SPEAKER) for size in (9, 1, 40)
    ]

    def generators() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in range(len(requests))]

    together = generate(model, requests, generators(), options)
    for request, generator, ours in zip(requests, generators(), together, strict=True):
        [alone] = generate(model, [request], [generator], options)
        assert ours.units.equal(alone.units)


def attend_slowly(layer: RelativeAttention, x: Tensor) -> Tensor:
    """The definition, score by score; x [P, H]."""
    heads, d = layer.heads
    width, count = x.shape[1], len(x)
    query, key, value = (
        project(x).view(count, heads, d)
        for project in (layer.linear_q, layer.linear_k, layer.linear_v)
    )
    frequency = 10_000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    rows = []
    for i in range(count):
        scores = torch.empty(heads, i + 1)
        for j in range(i + 1):
            table = torch.empty(width, dtype=torch.float64)
            table[0::2] = torch.sin((i - j) * frequency)
            table[1::2] = torch.cos((i - j) * frequency)
            distance = layer.linear_pos(table.float()).view(heads, d)
            scores[:, j] = ((query[i] + layer.pos_bias_u) * key[j]).sum(-1)
            scores[:, j] += ((query[i] + layer.pos_bias_v) * distance).sum(-1)
        weights = (scores / d**0.5).softmax(-1)
        rows.append(torch.einsum("aj,jad->ad", weights, value[: i + 1]).flatten())
    return layer.linear_out(torch.stack(rows))


@torch.no_grad()
def test_attention_by_distance_is_its_definition():
    model = debug_cosyvoice()
    stack = model.llm
    assert isinstance(stack, RelativeStack)
    layer = stack.encoders[0]
    assert isinstance(layer, TransformerLayer)
    x = randn(17, 32)
    ours = layer.self_attn(x, stack.pack([12, 5], x))
    expected = torch.cat([attend_slowly(layer.self_attn, part) for part in x.split([12, 5])])
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_dropout_is_that_of_the_configuration():
    flat = debug_cosyvoice().config.to_dict()
    stacks = ("text_encoder", "llm")
    plain = {
        name: {key: one for key, one in flat[name].items() if "dropout" not in key}
        for name in stacks
    }
    model = CosyVoiceLM.from_dict(flat | plain)
    attention = [one for one in model.modules() if isinstance(one, RelativeAttention)]
    assert len(attention) == 4 and {one.dropout.p for one in attention} == {0.0}  # as published

    rates = {"dropout_rate": 0.0, "attention_dropout_rate": 0.3, "positional_dropout_rate": 0.0}
    told = {name: plain[name] | rates for name in stacks}
    model = CosyVoiceLM.from_dict(flat | told)
    assert {name: model.config.to_dict()[name] for name in stacks} == told
    x = randn(17, 28)

    def both(training: bool) -> list[Tensor]:
        model.train(training)
        return [model.llm(x, model.llm.pack([12, 5], x)) for _ in range(2)]

    assert not torch.allclose(*both(training=True), atol=1e-4)
    assert torch.equal(*both(training=False))


@torch.no_grad()
def test_experts_are_those_of_transformers():
    from transformers import Qwen2MoeConfig
    from transformers.models.qwen2_moe.modeling_qwen2_moe import Qwen2MoeSparseMoeBlock

    ours = debug_simpletts().model.layers[0].mlp
    sizes = debug_simpletts().sizes
    theirs = Qwen2MoeSparseMoeBlock(
        Qwen2MoeConfig(
            hidden_size=sizes.hidden_size,
            num_experts=sizes.num_experts,
            num_experts_per_tok=sizes.num_experts_per_tok,
            moe_intermediate_size=sizes.moe_intermediate_size,
            shared_expert_intermediate_size=sizes.shared_expert_intermediate_size,
        )
    )
    state = ours.state_dict()
    if "experts.gate_up_proj" in theirs.state_dict():  # newer versions hold all experts as one

        def stacked(name: str) -> Tensor:
            return torch.stack([one.get_parameter(f"{name}.weight") for one in ours.experts])

        state = {name: one for name, one in state.items() if not name.startswith("experts.")}
        gate_up = torch.cat([stacked("gate_proj"), stacked("up_proj")], 1)
        state |= {"experts.gate_up_proj": gate_up, "experts.down_proj": stacked("down_proj")}
    theirs.load_state_dict(state)
    x = randn(2, 9, sizes.hidden_size)
    expected = theirs(x)
    expected = expected[0] if isinstance(expected, tuple) else expected
    torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-5)


def test_the_balance_loss_is_least_for_even_use():
    from sled.model.tokens.experts import balance_loss

    even = torch.eye(4) * 1e-3
    assert balance_loss([even], 1) == pytest.approx(1.0, abs=1e-3)
    uneven = F.one_hot(torch.zeros(8, dtype=torch.long), 4) * 9.0
    assert balance_loss([uneven], 1) > 3.9
