"""Guided attention of a language model of speech tokens."""

import math
from dataclasses import replace

import pytest
import torch

from sled.model.layout import Layout
from sled.model.tokens.samples import TokenSample
from tests.tokens import debug_cosyvoice, debug_cosyvoice2

LAYER = 1
LAYOUTS = {"offline": Layout(), "stream": Layout(3, 4)}
# The last position of the text, 5, is the token with which speech begins; -1 is not known.
SPOKEN = torch.tensor([0, 0, 1, 2, 2, -1, 3, 4, 4, 5])


def make_sample(layout: Layout, seed: int = 0) -> TokenSample:
    generator = torch.Generator().manual_seed(seed)
    text = torch.randint(4, 300, (5,), generator=generator)
    speech = torch.randint(0, 24, (len(SPOKEN),), generator=generator)
    return TokenSample(text, speech, layout, spoken=SPOKEN)


def order_of(layout: Layout) -> list[tuple[str, int]]:
    """What is read at each position: the prefix, the text with what begins speech, the speech."""
    tokens = [("token", index) for index in range(6)]
    frames = [("frame", index) for index in range(len(SPOKEN))]
    order = [("prefix", 0)]
    while tokens or frames:
        count = len(tokens) if layout.is_offline else layout.text_chunk
        order, tokens = order + tokens[:count], tokens[count:]
        count = len(frames) if layout.is_offline or not tokens else layout.speech_chunk
        order, frames = order + frames[:count], frames[count:]
    return order


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_it_is_the_surprise_at_the_token_that_is_said(layout):
    model, sample, order = debug_cosyvoice2(), make_sample(layout), order_of(layout)
    inputs, _ = model.sequence(sample)
    assert len(order) == len(inputs)
    context = model.pack([len(inputs)], inputs, LAYER)
    model.read(inputs, context)
    query, key = context.watched
    weights = query[:, 0] @ key[:, 0].T / math.sqrt(query.shape[-1])
    total = 0.0
    for frame, token in enumerate(SPOKEN.tolist()):
        predictor = order.index(("frame", frame)) - 1
        read = [i for i in range(predictor + 1) if order[i][0] == "token"]
        if ("token", token) in [order[i] for i in read]:
            right = order.index(("token", token))
            total -= weights[predictor, read].log_softmax(0)[read.index(right)].item()
    assert total > 0
    output = model([sample], LAYER)
    assert output.alignment_loss.item() == pytest.approx(total / len(SPOKEN), rel=1e-4)


def test_every_speech_token_of_a_batch_counts_alike():
    model = debug_cosyvoice2()
    one, other = make_sample(Layout()), make_sample(Layout(3, 4), seed=1)
    short = replace(other, speech=other.speech[:6], spoken=SPOKEN[:6])
    unknown = replace(one, spoken=None)
    losses = [model([sample], LAYER).alignment_loss for sample in (one, short)]
    together = model([one, short, unknown], LAYER).alignment_loss
    torch.testing.assert_close(together, (10 * losses[0] + 6 * losses[1]) / 26)


def test_it_changes_nothing_else():
    model, sample = debug_cosyvoice2(), make_sample(Layout())
    with_it, without = model([sample], LAYER), model([sample])
    assert without.alignment_loss is None
    assert with_it.loss.equal(without.loss) and with_it.hidden.equal(without.hidden)


def test_relative_attention_cannot_be_guided():
    sample = replace(make_sample(Layout()), conditions={"speaker": torch.ones(6)})
    with pytest.raises(TypeError, match="CosyVoiceLM cannot be guided"):
        debug_cosyvoice()([sample], LAYER)
