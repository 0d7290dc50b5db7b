"""The model with units that are ids, and with conditions before the text."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sled.data.dataset import length_mask
from sled.model.heads import TokenHead
from sled.model.lm import SpeechLM
from sled.training.objectives import corrupt_inputs
from tests.debug import LAYOUT_IDS, LAYOUTS, STREAM, debug_model, randn
from tests.ids import NUM_IDS, debug_id_codec, debug_id_model
from tests.oracles import full_pass

both_layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)
SPEAKER = {"conditions": {"speaker": 5, "style": 3}}


def make_units(model: SpeechLM, num_frames: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    if model.unit_shape == ():
        return torch.randint(NUM_IDS, (num_frames,), generator=generator)
    return torch.randn(num_frames, *model.unit_shape, generator=generator)


def make_sample(model: SpeechLM, num_tokens: int, num_frames: int, seed: int) -> dict[str, object]:
    generator = torch.Generator().manual_seed(seed)
    widths = model.config.architecture.conditions
    return {
        "text": torch.randint(4, 300, (num_tokens,), generator=generator),
        "units": make_units(model, num_frames, seed),
        "conditions": {name: randn(width, seed=seed) for name, width in widths.items()},
    }


def batch_of(samples: list[dict]) -> dict[str, object]:
    texts, units = ([one[key] for one in samples] for key in ("text", "units"))
    return {
        "input_ids": pad_sequence(texts, True, padding_value=299),
        "attention_mask": length_mask(torch.tensor(list(map(len, texts)))),
        "units": pad_sequence(units, True, padding_value=NUM_IDS - 1),
        "frame_mask": length_mask(torch.tensor(list(map(len, units)))),
        "conditions": {
            name: torch.stack([one["conditions"][name] for one in samples])
            for name in samples[0]["conditions"]
        },
    }


@both_layouts
@pytest.mark.parametrize("conditions", [{}, SPEAKER], ids=["alone", "speaker"])
@pytest.mark.parametrize("make_model", [debug_model, debug_id_model], ids=["vectors", "ids"])
@settings(max_examples=5)
@given(sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 12)), min_size=1, max_size=3))
@torch.no_grad()
def test_a_batch_is_read_as_each_sample_alone_input_by_input(make_model, conditions, layout, sizes):
    model = make_model(**layout, **conditions)
    samples = [make_sample(model, *size, seed) for seed, size in enumerate(sizes)]
    output = model(**batch_of(samples))
    states = output.hidden_states.split(output.lengths)
    for sample, ours in zip(samples, states, strict=True):
        expected, order = full_pass(
            model, sample["text"].tolist(), sample["units"], sample["conditions"]
        )
        assert len(ours) == len(order)
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


@both_layouts
@torch.no_grad()
def test_the_loss_of_ids_is_their_cross_entropy(layout):
    model = debug_id_model(**layout, **SPEAKER)
    sample = make_sample(model, 6, 9, 0)
    hidden, order = full_pass(model, sample["text"].tolist(), sample["units"], sample["conditions"])
    states = torch.stack([hidden[order.index(("speech", t)) - 1] for t in range(9)])
    share = model.score_ids(states).log_softmax(-1)
    expected = -share[torch.arange(9), sample["units"]].mean()
    torch.testing.assert_close(model(**batch_of([sample])).score_loss, expected)


def test_drawn_ids_have_the_softmax_of_the_head():
    model = debug_id_model()
    hidden = randn(1, 32)
    shares = model.score_ids(hidden).softmax(-1)[0]
    draws = model.draw(hidden.expand(20_000, -1), randn(20_000, 1, seed=3))
    assert (draws.shape, draws.dtype) == ((20_000,), model.unit_dtype)
    counted = torch.bincount(draws, minlength=NUM_IDS) / len(draws)
    torch.testing.assert_close(counted, shares.detach(), rtol=0, atol=0.02)


@both_layouts
def test_a_model_of_ids_learns(layout):
    """With scheduled sampling and dropped texts, which do not depend on the kind of units."""
    torch.manual_seed(0)
    settings = {"training_cfg": 0.1, "scheduled_sampling": 0.2}
    model = debug_id_model(**layout, **SPEAKER, **settings).train()
    batch = batch_of([make_sample(model, 5, 8, seed) for seed in range(4)])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        output = model(**batch, corruption=corrupt_inputs)
        output.loss.backward()
        optimizer.step()
        losses.append(output.score_loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_ids_cannot_be_disturbed():
    model = debug_id_model(history_noise=0.5).train()
    with pytest.raises(ValueError, match="history_noise"):
        model(**batch_of([make_sample(model, 3, 4, 0)]), corruption=corrupt_inputs)


@pytest.mark.parametrize("make_model", [debug_model, debug_id_model], ids=["vectors", "ids"])
@torch.no_grad()
def test_a_condition_changes_all_that_comes_after_it(make_model):
    model = make_model(**STREAM, **SPEAKER)
    batch = batch_of([make_sample(model, 5, 7, 0)])
    before = model(**batch).hidden_states
    batch["conditions"]["style"] = batch["conditions"]["style"] + 1
    after = model(**batch).hidden_states
    assert before[0].equal(after[0])  # the speaker, which comes first
    assert (before[1:] != after[1:]).any(-1).all()


@torch.no_grad()
def test_conditions_of_one_utterance_are_embedded_as_those_of_a_batch():
    model = debug_model(**SPEAKER)
    batch = {"style": randn(4, 3, seed=1), "speaker": randn(4, 5)}
    together = model.embed_conditions(batch)
    assert together.shape == (4, 2, 32)
    one = model.embed_conditions({name: x[2] for name, x in batch.items()})
    torch.testing.assert_close(one, together[2])
    assert debug_model().embed_conditions({}).shape == (0, 32)


@pytest.mark.parametrize(
    ("taken", "given"), [({}, {"speaker": 5}), (SPEAKER, {}), (SPEAKER, {"speaker": 5})]
)
def test_other_conditions_are_refused(taken, given):
    model = debug_model(**taken)
    with pytest.raises(ValueError, match="conditions"):
        model.embed_conditions({name: torch.zeros(width) for name, width in given.items()})


def test_an_unknown_head_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="'spline'.*energy"):
        debug_model(head="spline")


def test_the_codec_of_ids_streams_what_it_decodes():
    codec, ids = debug_id_codec(), torch.randint(NUM_IDS, (2, 7))
    waveforms = codec.decode(ids)
    assert torch.stack(codec.encode(list(waveforms)))[:, 0].equal(ids)
    stream, encoder = codec.stream_decoder(2), codec.stream_encoder(2)
    pieces = [stream.decode(piece) for piece in ids.split([1, 0, 4, 2], 1)]
    assert torch.cat([*pieces, stream.finish()], 1).equal(waveforms)
    codes = [encoder.encode(piece) for piece in waveforms.split([100, 540, 1600], 1)]
    assert torch.cat([*codes, encoder.finish()], 2)[:, 0].equal(ids)
    assert codec.unit_shape == TokenHead.unit_shape_of(debug_id_model().config.architecture)
