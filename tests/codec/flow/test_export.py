"""The estimator as an ONNX graph."""

from __future__ import annotations

import onnxruntime
import pytest
import torch

from sled.codec.flow.export import PUBLISHED_NAME, export_estimator
from tests.codec.flow.models import cosyvoice2_flow, cosyvoice_flow, step_flow
from tests.commands import run_script

FLOWS = {"CosyVoice": cosyvoice_flow, "CosyVoice2": cosyvoice2_flow, "Step-Audio": step_flow}


@pytest.mark.parametrize("name", FLOWS)
def test_the_graph_computes_what_the_network_does_at_any_length(name, tmp_path):
    flow = FLOWS[name]()
    assert export_estimator(flow, tmp_path / PUBLISHED_NAME) < 1e-4
    assert not any(module.training for module in flow.modules())
    session = onnxruntime.InferenceSession(str(tmp_path / PUBLISHED_NAME))
    assert [one.name for one in session.get_inputs()] == ["x", "mask", "mu", "t", "spks", "cond"]
    [output] = session.get_outputs()
    assert output.name == "estimator_out"
    assert output.shape[2] == "seq_len"


def test_the_published_script_writes_the_published_file(tmp_path):
    assert run_script("export_onnx", "--model_dir", tmp_path) == 2
    torch.save(step_flow().state_dict(), tmp_path / "flow.pt")
    assert run_script("export_onnx", "--model_dir", tmp_path) == 0
    assert (tmp_path / PUBLISHED_NAME).is_file()
