"""Decoding with graphs draws the units that the model draws."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sled.decoding import DecodingOptions, Request, generate
from sled.model.order import Order
from sled.onnx.decode import SpokenBefore, Utterance, with_drawing
from sled.onnx.export import model_settings
from sled.onnx.folder import ARRAYS_FILE, SETTINGS_FILE, GraphFolder, ModelSettings
from sled.onnx.model_graphs import Model, export_model
from tests.debug import STREAM, debug_model
from tests.ids import debug_id_model
from tests.onnx.noise import TorchNoise
from tests.tokens import (
    debug_cosyvoice,
    debug_cosyvoice2,
    debug_ended_simpletts,
    debug_simpletts,
    guided_cosyvoice2,
)

MODELS: dict[str, Callable[[], Model]] = {
    "offline": debug_model,
    "streaming": lambda: debug_model(1, **STREAM),
    "flow head": lambda: debug_model(head="flow"),
    "ids": debug_id_model,
    "CosyVoice": debug_cosyvoice,
    "CosyVoice2": debug_cosyvoice2,
    "CosyVoice2 under guidance": guided_cosyvoice2,
    "SimpleTTS": debug_simpletts,
    "SimpleTTS with ends": debug_ended_simpletts,
}


@pytest.fixture(scope="module", params=MODELS)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Model, GraphFolder]:
    model = MODELS[request.param]()
    folder = tmp_path_factory.mktemp("graphs")
    export_model(model, folder)
    (folder / SETTINGS_FILE).write_text('{"format": 1}')
    takes_speaker = bool(model.config.architecture.conditions)
    arrays = {} if takes_speaker else {"prefix": model.embed_conditions({}).detach()}
    save_file(arrays, folder / ARRAYS_FILE)
    return model, GraphFolder(folder)


def units_of(utterance: Utterance) -> tuple[list[np.ndarray], bool]:
    """The units of an utterance, and whether it stopped."""
    drawing, units = utterance.units(), list[np.ndarray]()
    while True:
        try:
            units.append(next(drawing))
        except StopIteration as end:
            return units, end.value


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("streaming", [False, True])
def test_units_are_those_of_the_model(
    exported: tuple[Model, GraphFolder], seed: int, streaming: bool
) -> None:
    model, graphs = exported
    layout = model.streaming_layout if streaming else model.layout
    options = DecodingOptions.of_model(model.config)
    settings = model_settings(model, options)
    generator = torch.Generator().manual_seed(seed)
    text = torch.randint(5, 290, (4 + 3 * seed,), generator=generator).tolist()
    ends = (settings.bos_id, *text, settings.text_end_id, settings.eos_id)
    text = [one for one in ends if one is not None]
    before, prompt = None, None
    if seed == 2:
        prompt = torch.randint(24, (7,), generator=generator)
        if model.ids is None:
            prompt = torch.randn(7, *model.unit_shape, generator=generator)
        before = SpokenBefore(3, prompt.numpy())
    widths = model.config.architecture.conditions
    conditions = {name: torch.randn(width, generator=generator) for name, width in widths.items()}
    request = Request(text, prompt, prompt_tokens=3 if before else 0, conditions=conditions)
    [theirs] = generate(model, [request], [TorchNoise(seed).generator], options, layout)
    order = Order(layout.text_chunk, layout.speech_chunk)
    speaker = conditions["speaker"].numpy() if conditions else None
    tokens = iter(text)  # they are taken as they are needed
    utterance = Utterance(graphs, settings, tokens, order, TorchNoise(seed), before, speaker)
    units, stopped = units_of(utterance)
    assert stopped == theirs.stopped
    assert len(units) == len(theirs.speech)
    if units:
        assert np.abs(np.stack(units) - theirs.speech.numpy()).max() < 1e-5


def test_settings_survive_a_file() -> None:
    model = debug_cosyvoice2()
    settings = model_settings(model, DecodingOptions.of_model(model.config))
    assert ModelSettings.from_dict(json.loads(json.dumps(asdict(settings)))) == settings
    assert with_drawing(settings, None, 0.5).drawing.temperature == 0.5
