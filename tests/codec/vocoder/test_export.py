"""Vocoders as ONNX graphs."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest
import torch

from sled.codec.vocoder.base import Vocoder
from sled.codec.vocoder.export import export_vocoder
from sled.codec.vocoder.hift import HiFT, HiFTSizes
from sled.codec.vocoder.vocos import Vocos, VocosSizes


def tiny(kind: str) -> Vocoder:
    """A vocoder with few layers; of HiFT with this kind of phases."""
    torch.manual_seed(0)
    if kind == "vocos":
        return Vocos(VocosSizes(dim=16, intermediate_dim=24, num_layers=2, n_fft=64, hop_length=16))
    sizes = HiFTSizes(
        base_channels=8,
        f0_channels=8,
        nb_harmonics=1,
        upsample_rates=(4,),
        upsample_kernel_sizes=(8,),
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1,),),
        source_resblock_kernel_sizes=(3,),
        source_resblock_dilation_sizes=((1,),),
        sinegen=kind,
    )
    vocoder = HiFT(sizes)
    torch.nn.init.constant_(vocoder.f0_predictor.classifier.bias, 200.0)  # voiced
    return vocoder


@pytest.mark.parametrize("kind", ["1", "2", "vocos"])
def test_the_graph_makes_the_sound_of_the_network(kind: str, tmp_path: Path) -> None:
    assert export_vocoder(tiny(kind).eval(), tmp_path / "vocoder.onnx") < 1e-5
    session = onnxruntime.InferenceSession(str(tmp_path / "vocoder.onnx"))
    assert [one.name for one in session.get_inputs()] == ["mel"]
    assert [one.name for one in session.get_outputs()] == ["audio"]
