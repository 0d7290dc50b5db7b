"""The loss of guided attention."""

import math

import pytest
import torch
from torch import Tensor

from sled.model.backbone import rotary_tables, rotate
from sled.model.guided_attention import SpokenTokens
from sled.model.layout import Layout
from sled.training.objectives import corrupt_inputs
from tests.debug import debug_model, randn

LAYER = 1
LAYOUTS = {"offline": Layout(), "stream": Layout(2, 3)}


def make_batch() -> dict[str, Tensor]:
    """Two samples: four tokens in 9 frames, and one token in 4 frames, two of them unaligned."""
    return {
        "input_ids": torch.tensor([[0, 11, 12, 13, 14, 2], [0, 15, 2, 1, 1, 1]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]]),
        "units": randn(2, 9, 32),
        "frame_mask": torch.tensor([[1] * 9, [1] * 4 + [0] * 5]),
    }


SPOKEN = torch.tensor([[1, 1, 2, 2, 3, 4, 4, 5, 5], [-1, 1, -1, 2, -1, -1, -1, -1, -1]])


def alone(row: int) -> tuple[dict[str, Tensor], SpokenTokens]:
    """One sample of the batch, without padding."""
    batch, num_tokens, num_frames = make_batch(), (6, 3)[row], (9, 4)[row]
    cut = {
        name: x[row : row + 1, : num_frames if name in ("units", "frame_mask") else num_tokens]
        for name, x in batch.items()
    }
    return cut, SpokenTokens(SPOKEN[row : row + 1, :num_frames], LAYER)


def attention_by_hand(model, sample: dict[str, Tensor], layout: Layout) -> tuple[Tensor, list[str]]:
    """Attention logits [P, P] of the first head in the layer, and the input at each position."""
    tokens = [("token", index) for index in range(sample["input_ids"].shape[1])]
    frames = [("frame", index) for index in range(sample["units"].shape[1])]
    order = []
    while tokens or frames:
        count = len(tokens) if layout.is_offline else layout.text_chunk
        order += tokens[:count]
        tokens = tokens[count:]
        count = len(frames) if layout.is_offline else layout.speech_chunk
        order += frames[:count]
        frames = frames[count:]
    text = model.embed_text(sample["input_ids"])[0]
    speech = model.embed_units(sample["units"])[0]
    inputs = torch.stack([text[i] if kind == "token" else speech[i] for kind, i in order])
    context = model.model.pack([len(order)], inputs)
    x = inputs
    for layer in model.model.layers[:LAYER]:
        x = layer(x, context)
    attention = model.model.layers[LAYER].self_attn
    x = model.model.layers[LAYER].input_layernorm(x)
    width = attention.head_dim
    cos, sin = rotary_tables(len(order), width, 10_000.0, x.device, x.dtype)
    query = rotate(x @ attention.q_proj.weight[:width].T, cos, sin)
    key = rotate(x @ attention.k_proj.weight[:width].T, cos, sin)
    return query @ key.T / math.sqrt(width), order


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize("row", [0, 1])
def test_it_is_the_surprise_at_the_right_token_among_the_text_read(layout, kv_heads, row):
    model = debug_model(num_key_value_heads=kv_heads)
    sample, spoken = alone(row)
    weights, order = attention_by_hand(model, sample, layout)
    total = 0.0
    for frame, token in enumerate(spoken.index[0].tolist()):
        predictor = order.index(("frame", frame)) - 1
        read = [i for i in range(predictor + 1) if order[i][0] == "token"]
        if ("token", token) in [order[i] for i in read]:
            right = order.index(("token", token))
            total -= weights[predictor, read].log_softmax(0)[read.index(right)].item()
    output = model(**sample, layout=layout, spoken=spoken)
    num_frames = sample["units"].shape[1]
    assert output.alignment_loss.item() == pytest.approx(total / num_frames, rel=1e-4)
    assert total > 0


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_frame_of_a_batch_counts_as_it_would_alone(layout):
    model = debug_model()
    spoken = SpokenTokens(SPOKEN, LAYER)
    together = model(**make_batch(), layout=layout, spoken=spoken).alignment_loss
    losses = []
    for row in (0, 1):
        sample, spoken = alone(row)
        losses.append(model(**sample, layout=layout, spoken=spoken).alignment_loss)
    torch.testing.assert_close(together, (9 * losses[0] + 4 * losses[1]) / 13)


def test_it_teaches_what_lies_before_the_attention_and_nothing_else():
    model = debug_model(num_hidden_layers=3)
    sample, spoken = alone(0)
    model(**sample, spoken=spoken).alignment_loss.backward()
    taught = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert "model.layers.1.self_attn.q_proj.weight" in taught
    assert "model.layers.0.mlp.down_proj.weight" in taught
    assert not any("layers.2." in name or "scoreloss" in name for name in taught)
    attention = model.model.layers[1].self_attn
    query, width = attention.q_proj.weight.grad, attention.head_dim
    assert query[:width].abs().min() > 0
    assert query[width:].abs().max() == 0  # the other heads are free


def test_a_dropped_text_and_an_unread_token_teach_nothing():
    model = debug_model(training_cfg=1.0).train()
    sample, spoken = alone(0)
    assert model(**sample, spoken=spoken, corruption=corrupt_inputs).alignment_loss == 0
    model.eval()
    # "</s>" comes with the third chunk, which is read before frame 6.
    first = {**sample, "units": sample["units"][:, :6], "frame_mask": torch.ones(1, 6).long()}
    late = SpokenTokens(torch.full((1, 6), 5), LAYER)
    assert model(**first, layout=Layout(2, 3), spoken=late).alignment_loss == 0


def test_without_them_the_losses_are_what_they_were():
    model = debug_model()
    sample, spoken = alone(0)
    noise = randn(2, 9, 8, seed=1)
    with_them = model(**sample, noise=noise, spoken=spoken)
    without = model(**sample, noise=noise)
    assert without.alignment_loss == 0 < with_them.alignment_loss
    assert without.loss.equal(with_them.loss)
