"""A new flow begins with the means of its mel bands."""

from __future__ import annotations

import pytest
import torch

from sled.codec.flow.base import FlowBatch, SpeechFlow
from sled.codec.flow.files import load_flow
from sled.training.flow.start import fit_output
from tests.codec.flow.models import RECORDED, random_tokens
from tests.debug import randn


def new_copy(name: str) -> SpeechFlow:
    """A flow of the recordings, with an output layer as a new one has it."""
    flow = load_flow(RECORDED / name)
    torch.manual_seed(0)
    flow.output_layer.reset_parameters()
    return flow


@pytest.mark.parametrize("name", ["flow_v1", "flow_v2", "step_flow", "simple_dit"])
def test_the_first_loss_does_not_depend_on_where_the_bands_are(name: str) -> None:
    flow = new_copy(name)
    bands = -6 + randn(flow.num_mels, seed=1)
    mel = bands[:, None] + 0.1 * randn(2, flow.num_mels, 20, seed=2)
    batch = FlowBatch(
        random_tokens(flow, 2, 10, 0),
        torch.tensor([10, 10]),
        mel,
        torch.tensor([20, 20]),
        randn(2, flow.speaker_size, seed=3),
    )

    def loss() -> float:
        with torch.no_grad():
            return float(flow.loss(batch, torch.Generator().manual_seed(0)))

    before = loss()
    fit_output(flow, mel)
    layer = flow.output_layer
    assert layer.bias is not None
    torch.testing.assert_close(layer.bias.detach(), mel.mean((0, 2)))
    assert before > 20 and loss() < 2  # that of predicting the means is 1


def test_other_bands_are_refused() -> None:
    with pytest.raises(ValueError, match="give some of 80 bands"):
        fit_output(new_copy("flow_v2"), [torch.zeros(70, 9)])
    with pytest.raises(ValueError, match="give some of 80 bands"):
        fit_output(new_copy("flow_v2"), [])
