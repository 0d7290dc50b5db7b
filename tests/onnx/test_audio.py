"""Streams of units give the samples that the codec gives of the whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sled.codec import Codec, Group, SpectralCodec, TransformedCodec
from sled.codec.flow.base import SpeechFlow
from sled.codec.flow.files import load_flow
from sled.codec.flow.matching import SolverOptions
from sled.codec.flow.step import StepFlow
from sled.codec.token_codec.files import TokenNetworks
from sled.codec.token_codec.model import PROMPT_MEL, PROMPT_TOKENS, SPEAKER, TokenCodec
from sled.codec.token_codec.settings import TokenCodecSettings
from sled.codec.vocoder.base import Vocoder
from sled.codec.vocoder.hift import HiFT, HiFTSizes
from sled.codec.vocoder.vocos import Vocos, VocosSizes
from sled.onnx.audio import open_stream
from sled.onnx.codec_graphs import export_codec
from sled.onnx.folder import ARRAYS_FILE, SETTINGS_FILE, GraphFolder
from tests.codec.flow.models import (
    RECORDED,
    cosyvoice2_flow,
    cosyvoice_flow,
    simpletts_flow,
    step_flow,
)
from tests.codec.spectral.models import tiny_spectral
from tests.codec.token_codec.models import SETTINGS
from tests.debug import debug_codec, randn
from tests.ids import debug_id_codec
from tests.onnx.noise import relative_error


def tiny_vocoder(kind: str) -> Vocoder:
    """A vocoder with few layers, whose frames have 480 samples."""
    torch.manual_seed(0)
    if kind == "vocos":
        return Vocos(VocosSizes(dim=16, intermediate_dim=24, num_layers=1))
    sizes = HiFTSizes(
        base_channels=8,
        f0_channels=8,
        nb_harmonics=1,
        upsample_rates=(120,),
        upsample_kernel_sizes=(240,),
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1,),),
        source_resblock_kernel_sizes=(3,),
        source_resblock_dilation_sizes=((1,),),
    )
    vocoder = HiFT(sizes)
    torch.nn.init.constant_(vocoder.f0_predictor.classifier.bias, 200.0)  # voiced
    return vocoder


def whole_networks(flow: SpeechFlow) -> TokenNetworks:
    """A flow that sees whole utterances, with a vocoder of its rate."""
    torch.manual_seed(0)
    sizes = {"n_fft": 1024, "hop_length": 256, "sampling_rate": 22_050}
    vocoder = Vocos(VocosSizes(dim=16, intermediate_dim=24, num_layers=1, **sizes))
    return TokenNetworks(flow, vocoder, SETTINGS)


CODECS: dict[str, Callable[[], Codec]] = {
    "Encodec": debug_codec,
    "spectral, grouped": lambda: TransformedCodec(SpectralCodec(tiny_spectral()), [Group(2)]),
    "CosyVoice2": lambda: TokenCodec(
        TokenNetworks(cosyvoice2_flow(), tiny_vocoder("hift"), SETTINGS)
    ),
    "CosyVoice": lambda: TokenCodec(whole_networks(cosyvoice_flow())),
    "SimpleTTS": lambda: TokenCodec(whole_networks(simpletts_flow())),
    "Step-Audio": lambda: TokenCodec(TokenNetworks(step_flow(), tiny_vocoder("vocos"), SETTINGS)),
}


WHOLE = ("CosyVoice", "SimpleTTS")


def open_graphs(codec: Codec, folder: Path) -> GraphFolder:
    """The graphs of a codec."""
    settings, arrays = export_codec(codec, folder)
    (folder / SETTINGS_FILE).write_text(json.dumps({"format": 1, "codec": settings}))
    save_file(arrays, folder / ARRAYS_FILE)
    return GraphFolder(folder)


def given_conditions(codec: Codec) -> list[dict[str, Tensor]]:
    """What the codec may be conditioned on."""
    if codec.unit_dtype != torch.long:
        return [{}]
    tokens = random_units(codec, 11, seed=1)
    speaker = {SPEAKER: randn(16)}
    return [speaker, speaker | {PROMPT_TOKENS: tokens, PROMPT_MEL: randn(80, 23)}]


def random_units(codec: Codec, count: int, seed: int) -> Tensor:
    """Any units."""
    if codec.unit_dtype != torch.long:
        return randn(count, *codec.unit_shape, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(codec.codebook_size, (count, *codec.unit_shape), generator=generator)


@pytest.mark.parametrize("name", CODECS)
def test_pieces_are_the_whole(name: str, tmp_path: Path) -> None:
    codec = CODECS[name]()
    graphs = open_graphs(codec, tmp_path)
    units = random_units(codec, 61, seed=0)
    for conditions in given_conditions(codec):
        batch = {condition: one[None] for condition, one in conditions.items()}
        whole = codec.decode(units[None], batch)[0].numpy()
        names = (SPEAKER, PROMPT_TOKENS, PROMPT_MEL)
        arrays = [conditions[one].numpy() if one in conditions else None for one in names]
        for cut in (61, 7, 1):
            stream = open_stream(graphs, *arrays)
            pieces = [stream.feed(piece.numpy()) for piece in units.split(cut)]
            assert sum(map(len, pieces)) > 0 or name in WHOLE
            ours = np.concatenate([*pieces, stream.finish()])
            assert relative_error(ours, whole) < 1e-4
    # Little or no speech is not lost.
    for count in (0, 1, 2):
        stream = open_stream(graphs)
        few = random_units(codec, count, seed=0).numpy()
        assert len(stream.feed(few)) + len(stream.finish()) == count * codec.hop_length


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("guidance", [0.0, 0.7])
def test_whole_utterances_of_any_length(name: str, guidance: float, tmp_path: Path) -> None:
    flow = cosyvoice_flow() if name == "CosyVoice" else simpletts_flow()
    solver = SolverOptions(steps=2, guidance=guidance, temperature=0.8)
    networks = replace(whole_networks(flow), settings=TokenCodecSettings(solver=solver))
    codec = TokenCodec(networks)
    graphs = open_graphs(codec, tmp_path)
    for count in (1, 40, 41):
        units = random_units(codec, count, seed=count)
        stream = open_stream(graphs)
        assert len(stream.feed(units.numpy())) == 0
        whole = codec.decode(units[None])[0].numpy()
        assert relative_error(stream.finish(), whole) < 1e-4


@pytest.mark.parametrize("name", WHOLE)
def test_segments_are_those_of_the_codec(name: str, tmp_path: Path) -> None:
    codec = CODECS[name]()
    graphs = open_graphs(codec, tmp_path)
    units = random_units(codec, 61, seed=0)
    for conditions in given_conditions(codec):
        batch = {condition: one[None] for condition, one in conditions.items()}
        arrays = [
            conditions[one].numpy() if one in conditions else None
            for one in (SPEAKER, PROMPT_TOKENS, PROMPT_MEL)
        ]
        for counts in ([61], [1, 0, 23, 37], [30, 31, 0]):
            ours, theirs = open_stream(graphs, *arrays), codec.stream_decoder(1, batch)
            for piece in units.split(counts):
                fed = ours.feed(piece.numpy()), theirs.decode(piece[None])[0].numpy()
                ended = ours.end_segment(), theirs.end_segment()[0].numpy()
                for mine, wanted in (fed, ended):
                    assert len(mine) == len(wanted)
                    assert not len(wanted) or relative_error(mine, wanted) < 1e-4
            rest = ours.finish(), theirs.finish()[0].numpy()
            assert len(rest[0]) == len(rest[1]) > 0
            assert relative_error(*rest) < 1e-4


def test_chunks_of_equal_sizes_may_come_before_others(tmp_path: Path) -> None:
    flow = load_flow(RECORDED / "step_flow")
    assert isinstance(flow, StepFlow)
    flow.sizes = replace(flow.sizes, chunk_sizes=(6, 6, 11))
    codec = TokenCodec(TokenNetworks(flow, tiny_vocoder("vocos"), SETTINGS))
    units = random_units(codec, 40, seed=0)
    stream = open_stream(open_graphs(codec, tmp_path))
    ours = np.concatenate([stream.feed(units.numpy()), stream.finish()])
    assert relative_error(ours, codec.decode(units[None])[0].numpy()) < 1e-4


def test_codecs_without_graphs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no graphs"):
        export_codec(debug_id_codec(), tmp_path)
