"""The kernels at their limits: nothing to do, many rows, long rows, sharp attention."""

import pytest
import torch
from torch import Tensor

from sled.fast.native import NativeModel, kernel_level
from sled.fast.native.library import LEVELS
from sled.model.interface import FrameModel
from sled.model.lm import SpeechLM
from tests.debug import debug_model, randn
from tests.fast.forms import NEEDS_KERNELS, SIZES

pytestmark = NEEDS_KERNELS
NUM_LEVELS = next((number for number, one in LEVELS.items() if one == kernel_level()), 0)
each_level = pytest.mark.parametrize(
    "level", [one for number, one in LEVELS.items() if number <= NUM_LEVELS]
)
POSITIONS = 1024


def make_model(sharpness: float = 1.0) -> SpeechLM:
    model = debug_model(**SIZES, max_position_embeddings=POSITIONS)
    for layer in model.model.layers:
        layer.self_attn.q_proj.weight.data *= sharpness
    return model


@torch.inference_mode()
def last_states(model: FrameModel, lengths: list[int]) -> Tensor:
    """The states [R, H] after a prompt of each row's length and one more position."""
    cache = model.new_cache()
    cache.add_rows(len(lengths))
    rows = list(range(len(lengths)))
    model.advance(randn(len(lengths), max(lengths), 32), rows, lengths, cache)
    return model.advance(randn(len(lengths), 1, 32, seed=1), rows, [1] * len(rows), cache)


@each_level
@pytest.mark.parametrize("bits", [8, 32])
def test_nothing_is_made_of_nothing(level, bits):
    model = NativeModel(debug_model(**SIZES), bits, level=level)
    assert model.embed_units(torch.zeros(0, 32)).shape == (0, 32)
    assert model.draw(torch.zeros(0, 32), torch.zeros(0, model.noise_width)).shape == (0, 32)


@each_level
@pytest.mark.parametrize("sharpness", [1.0, 200.0])  # of the second, scores differ by hundreds
@pytest.mark.parametrize(
    "lengths", [[254], [255], [256], [511, 3, 512], [1000, 700, 1], list(range(1, 34))]
)
def test_attention_is_that_of_the_plain_model_at_any_length(level, sharpness, lengths):
    ours = last_states(NativeModel(make_model(sharpness), 32, level=level), lengths)
    theirs = last_states(make_model(sharpness), lengths)
    torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=2e-4)


@each_level
@pytest.mark.parametrize("bits", [8, 32])
@pytest.mark.parametrize("length", [7, 300])
def test_what_is_not_a_number_is_seen_in_all_that_attends_to_it(level, bits, length):
    model = NativeModel(make_model(), bits, level=level)
    cache = model.new_cache()
    cache.add_rows(2)
    inputs = randn(2, length, 32)
    inputs[0, 2] = torch.nan
    model.advance(inputs, [0, 1], [length, length], cache)
    first, second = model.advance(randn(2, 1, 32), [0, 1], [1, 1], cache)
    assert first.isnan().all()
    assert second.isfinite().all()


@each_level
@pytest.mark.parametrize("bits", [8, 32])
@pytest.mark.parametrize("pattern", [0x7FC00000, 0x7FC00001, 0x7FFFFFFF, -1])
def test_no_bit_pattern_of_a_weight_that_is_not_a_number_is_hidden(level, bits, pattern):
    plain = make_model()
    weight = plain.model.layers[0].self_attn.q_proj.weight.data
    weight[:, 0] = torch.tensor(pattern, dtype=torch.int32).view(torch.float32)
    assert last_states(NativeModel(plain, bits, level=level), [5]).isnan().all()


def test_more_positions_than_the_model_has_are_refused():
    model = NativeModel(make_model(), 32)
    cache = model.new_cache()
    cache.add_rows(1)
    model.advance(randn(1, POSITIONS, 32), [0], [POSITIONS], cache)
    with pytest.raises(ValueError, match=f"a row has {POSITIONS + 1} positions, and the model"):
        model.advance(randn(1, 1, 32), [0], [1], cache)
