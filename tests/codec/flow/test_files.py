"""Folders of flows, and published state dicts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sled.codec.flow.base import SpeechFlow
from sled.codec.flow.cosyvoice import CosyVoiceFlow
from sled.codec.flow.cosyvoice2 import CosyVoice2Flow
from sled.codec.flow.files import load_flow, save_flow
from sled.codec.flow.step import StepFlow
from tests.codec.flow.models import (
    RECORDED,
    cosyvoice2_flow,
    cosyvoice_flow,
    simpletts_flow,
    step_flow,
)

FLOWS = {
    "flow_v1": cosyvoice_flow,
    "flow_v2": cosyvoice2_flow,
    "step_flow": step_flow,
    "simple_dit": simpletts_flow,
}
each = pytest.mark.parametrize("name", FLOWS)


@each
def test_a_saved_flow_has_the_published_tensors_and_loads_again(name: str, tmp_path: Path) -> None:
    flow = FLOWS[name]()
    save_flow(flow, tmp_path)
    saved, published = (
        load_file(folder / "model.safetensors") for folder in (tmp_path, RECORDED / name)
    )
    assert saved.keys() == published.keys()
    assert all(saved[key].equal(published[key]) for key in saved)
    again = load_flow(tmp_path)
    assert type(again) is type(flow)
    assert again.to_dict() == flow.to_dict()


def as_published(flow: SpeechFlow) -> SpeechFlow:
    """The flow with as many heads as published ones have, which tensors do not tell."""
    if isinstance(flow, CosyVoiceFlow):
        estimator = replace(flow.sizes.estimator, num_heads=8, attention_head_dim=3)
        return CosyVoiceFlow(replace(flow.sizes, estimator=estimator))
    if isinstance(flow, CosyVoice2Flow):
        estimator = replace(flow.sizes.estimator, num_heads=8, attention_head_dim=3)
        estimator = replace(estimator, static_chunk_size=50)
        encoder = replace(flow.sizes.encoder, chunk=25)
        return CosyVoice2Flow(replace(flow.sizes, estimator=estimator, encoder=encoder))
    assert isinstance(flow, StepFlow)
    return flow


@pytest.mark.parametrize("name", [name for name in FLOWS if name != "simple_dit"])
def test_the_sizes_of_a_state_dict_are_those_of_its_tensors(name: str, tmp_path: Path) -> None:
    flow = as_published(FLOWS[name]())
    torch.save(flow.state_dict() | {"epoch": 3, "step": 100}, tmp_path / "flow.pt")
    again = load_flow(tmp_path / "flow.pt")
    assert type(again) is type(flow)
    assert again.to_dict() == flow.to_dict()


def configuration(flow: SpeechFlow) -> str:
    """A published configuration of a flow, at 25 tokens a second."""
    assert isinstance(flow, CosyVoiceFlow | CosyVoice2Flow)
    estimator = flow.sizes.estimator
    return f"""
token_frame_rate: 25
chunk_size: 5
flow: !new:cosyvoice.flow.flow.{flow.KIND}
    input_frame_rate: !ref <token_frame_rate>
    encoder: !new:cosyvoice.transformer.Encoder
        static_chunk_size: !ref <chunk_size>
        dropout_rate: 0.2
        attention_heads: 99  # tensors tell it
    decoder: !new:cosyvoice.flow.flow_matching.ConditionalCFM
        estimator: !new:cosyvoice.flow.decoder.ConditionalDecoder
            num_heads: {estimator.num_heads}
            attention_head_dim: {estimator.attention_head_dim}
            static_chunk_size: !ref <chunk_size> * 2
"""


@pytest.mark.parametrize("name", ["flow_v1", "flow_v2"])
def test_a_configuration_tells_what_tensors_do_not(name: str, tmp_path: Path) -> None:
    flow = FLOWS[name]()
    assert isinstance(flow, CosyVoiceFlow | CosyVoice2Flow)
    torch.save(flow.state_dict(), tmp_path / "flow.pt")
    (tmp_path / "cosyvoice9.yaml").write_text(configuration(flow))
    (tmp_path / "cosyvoice.yaml").write_text("flow: !new:other.Flow\n    input_frame_rate: 3\n")
    again = load_flow(tmp_path / "flow.pt", token_rate=40.0)
    assert isinstance(again, CosyVoiceFlow | CosyVoice2Flow)
    assert again.token_rate == 25
    assert again.sizes.encoder.dropout_rate == 0.2
    heads = (flow.sizes.estimator.num_heads, flow.sizes.estimator.attention_head_dim)
    estimator = again.sizes.estimator
    assert (estimator.num_heads, estimator.attention_head_dim) == heads
    assert estimator.static_chunk_size == 10
    if isinstance(again, CosyVoice2Flow):
        assert again.chunk == 5
        assert again.state_dict().keys() == flow.state_dict().keys()
    # That of a run comes first.
    given = {"flow": {"__class__": flow.KIND, "input_frame_rate": 12.5}}
    assert load_flow(tmp_path / "flow.pt", given).token_rate == 12.5


def test_without_a_configuration_the_speech_tokenizer_tells_the_rate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save(as_published(cosyvoice_flow()).state_dict(), tmp_path / "flow.pt")
    assert load_flow(tmp_path / "flow.pt").token_rate == 50
    (tmp_path / "cosyvoice.yaml").write_text("flow: [")
    assert load_flow(tmp_path / "flow.pt", token_rate=25.0).token_rate == 25
    assert "cosyvoice.yaml" in caplog.text
    text = f"flow: !new:a.{CosyVoiceFlow.KIND} {{input_frame_rate: fast}}"
    (tmp_path / "cosyvoice.yaml").write_text(text)
    with pytest.raises(ValueError, match="input_frame_rate 'fast'"):
        load_flow(tmp_path / "flow.pt")
    # Of others, the mel spectrogram tells it.
    torch.save(as_published(cosyvoice2_flow()).state_dict(), tmp_path / "flow2.pt")
    assert load_flow(tmp_path / "flow2.pt", token_rate=50.0).token_rate == 25


def test_published_sizes_have_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        flows = [
            cls.from_dict({"input_size": 512, "encoder": encoder, "estimator": estimator})
            for cls, encoder, estimator in (
                (CosyVoiceFlow, ENCODER, {"channels": [256, 256]}),
                (CosyVoice2Flow, ENCODER | {"num_up_blocks": 4}, {"channels": [256]}),
                (StepFlow, ENCODER | {"num_up_blocks": 4}, {}),
            )
        ]
    counts = [sum(one.numel() for one in flow.parameters()) / 1e6 for flow in flows]
    assert counts == pytest.approx([104.9, 112.5, 153.8], abs=0.06)
    assert len(flows[2].state_dict()) == 605


ENCODER = {"output_size": 512, "attention_heads": 8, "linear_units": 2048, "num_blocks": 6}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda state: {"weight": torch.zeros(2)}, "no tensors of any of"),
        (lambda state: state | {"extra": torch.zeros(2)}, "unknown: extra"),
        (lambda state: state | {"code": Path("/")}, "no state dict of tensors"),
    ],
)
def test_other_files_are_refused(change, word, tmp_path) -> None:
    torch.save(change(step_flow().state_dict()), tmp_path / "flow.pt")
    with pytest.raises(ValueError, match=word):
        load_flow(tmp_path / "flow.pt")
