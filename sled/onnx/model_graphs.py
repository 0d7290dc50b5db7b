"""A model as ONNX graphs: inputs of its layers, a step with a cache, and what is drawn.

| graph | inputs | outputs |
|---|---|---|
| text | tokens [N] | inputs [N, E] |
| units | units [T, ...] | inputs [T, E] |
| speaker | speaker [W] | inputs [C, E]; of models with speakers only |
| step | inputs [Q, E], keys.i and values.i [P, A, d] | hidden [H], new_keys.i and new_values.i |
| draw | hidden [U, H], noise [U, N] | units [U, D]; of models of latents |
| scores | hidden [U, H] | scores [U, S]; of models of ids |
| stop | hidden [U, H] | probability [U] |

A step reads Q inputs after P earlier ones. It returns their keys and values, which the caller puts
behind those of the earlier ones, and the hidden state of the last.

Shapes: E width of inputs, H hidden width, A heads of keys, d head width, S scored ids; see
`sled.model.interface`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from sled.codec.flow.attention import ChunkContext
from sled.codec.onnx_export import Called, export_onnx
from sled.model.backbone import Backbone, DistanceContext, position_vectors, rotary_tables_at
from sled.model.lm import SpeechLM
from sled.model.tokens.cosyvoice import SPEAKER, CosyVoiceLM
from sled.model.tokens.lm import BEGIN_SPEECH, TokenLM
from sled.model.tokens.relative_attention import THETA, RelativeStack

Model = SpeechLM | TokenLM


class StepContext(DistanceContext):
    """New positions attend to earlier ones and, causally, to each other.

    Args:
        keys: Of each layer, [P, A, d].
        values: Of each layer.
        new: How many positions are new, Q.
        layers: The layers.

    Attributes:
        new_keys: Of each layer that has run, [Q, A, d].
        new_values: Of each layer.
    """

    def __init__(
        self,
        keys: Sequence[Tensor],
        values: Sequence[Tensor],
        new: int,
        layers: Backbone | RelativeStack,
    ) -> None:
        self._keys, self._values = keys, values
        self.new_keys: list[Tensor] = []
        self.new_values: list[Tensor] = []
        past = keys[0].shape[0]
        position = torch.arange(past + new)
        width = layers.rotary_dim
        theta = layers.rope_theta if isinstance(layers, Backbone) else THETA
        cos, sin = rotary_tables_at(position.float(), width, theta, torch.float32)
        self._tables = cos, sin
        self.cos, self.sin = cos[past:, None], sin[past:, None]
        self._later = position > position[past:, None]  # [Q, P + Q]

    @override
    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, dropout: float
    ) -> Tensor:
        return self._attend(layer, query, key, value, None)

    @override
    def attend_by_distance(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        by_distance: Tensor,
        dropout: float,
    ) -> Tensor:
        scores = by_distance.transpose(0, 1) @ position_vectors(*self._tables).T  # [A, Q, P + Q]
        return self._attend(layer, query, key, value, scores)

    def _attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scores: Tensor | None
    ) -> Tensor:
        self.new_keys.append(key)
        self.new_values.append(value)
        # Numbers, so that they are constants in the graph.
        heads, width = int(key.shape[1]), int(query.shape[-1])
        groups = (heads, int(query.shape[1]) // heads)
        key = torch.cat((self._keys[layer], key)).transpose(0, 1)[:, None]
        value = torch.cat((self._values[layer], value)).transpose(0, 1)[:, None]
        query = torch.unflatten(query.transpose(0, 1), 0, groups)  # [A, G, Q, d]
        products = query @ key.transpose(2, 3) * width**-0.5
        if scores is not None:
            products = products + scores[:, None]
        weights = products.masked_fill(self._later, -torch.inf).softmax(-1)
        attended: Tensor = (weights @ value).flatten(0, 1).transpose(0, 1)
        return attended


class _Step(nn.Module):
    """A step; see the module."""

    def __init__(self, layers: Backbone | RelativeStack) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, inputs: Tensor, *cache: Tensor) -> tuple[Tensor, ...]:
        half = len(cache) // 2
        context = StepContext(cache[:half], cache[half:], inputs.shape[0], self.layers)
        hidden: Tensor = self.layers(inputs, context)
        return (hidden[-1], *context.new_keys, *context.new_values)


def export_model(model: Model, folder: Path) -> None:
    """Write the graphs of a model.

    Args:
        model: In evaluation mode, in float32 on the CPU.
        folder: The folder, which is made if it is not there.

    Raises:
        ValueError: If the package `onnx` is not installed.
    """
    architecture = model.config.architecture

    def write(
        name: str, call: Callable[..., Tensor], inputs: Mapping[str, Tensor], output: str
    ) -> None:
        free = {one: {0: "rows"} for one in (*inputs, output)}
        export_onnx(Called(call, model), inputs, [output], free, folder / f"{name}.onnx")

    # The token that ends texts is always last: some models have an input of its own for it.
    text = torch.tensor([1, 2, architecture.eos_token_id])
    embed_text = _encoded_text(model) if isinstance(model, CosyVoiceLM) else model.embed_text
    write("text", embed_text, {"tokens": text}, "inputs")
    units = torch.zeros(2, *model.unit_shape, dtype=model.unit_dtype)
    write("units", model.embed_units, {"units": units}, "inputs")
    if SPEAKER in architecture.conditions:

        def embed_speaker(speaker: Tensor) -> Tensor:
            return model.embed_conditions({SPEAKER: speaker})

        speaker = torch.randn(architecture.conditions[SPEAKER])
        call = Called(embed_speaker, model)
        export_onnx(call, {"speaker": speaker}, ["inputs"], {}, folder / "speaker.onnx")
    _export_step(model, folder / "step.onnx")

    hidden = torch.randn(2, hidden_width(model))
    if model.ids is None:
        noise = torch.randn(2, model.noise_width)
        write("draw", model.draw, {"hidden": hidden, "noise": noise}, "units")
    else:
        write("scores", model.score_ids, {"hidden": hidden}, "scores")
    if isinstance(model, SpeechLM):
        write("stop", model.stop_probability, {"hidden": hidden}, "probability")


def _export_step(model: Model, path: Path) -> None:
    architecture = model.config.architecture
    layers = range(architecture.num_hidden_layers)
    shape = (3, architecture.num_key_value_heads, architecture.head_dim)
    names = [f"{kind}.{layer}" for kind in ("keys", "values") for layer in layers]
    inputs = {"inputs": torch.randn(2, architecture.hidden_size)}
    inputs |= {name: torch.randn(shape) for name in names}
    outputs = ["hidden", *(f"new_{name}" for name in names)]
    free = {"inputs": {0: "new"}}
    free |= {name: {0: "past"} for name in names} | {name: {0: "new"} for name in outputs[1:]}
    export_onnx(_Step(decoder_of(model)), inputs, outputs, free, path)


def decoder_of(model: Model) -> Backbone | RelativeStack:
    """The layers that read sequences."""
    return model.model if isinstance(model, SpeechLM) else model.decoder


def hidden_width(model: Model) -> int:
    """H, which differs from the width of inputs if there is an input layer."""
    layers = decoder_of(model)
    if isinstance(layers, RelativeStack):
        return layers.rotary_dim
    return model.config.architecture.hidden_size


def _encoded_text(model: CosyVoiceLM) -> Callable[[Tensor], Tensor]:
    """`embed_text` of whole texts, with shapes that are not fixed."""

    def embed_text(tokens: Tensor) -> Tensor:
        embedded = model.text_embedding(tokens[:-1])[None]
        position = torch.arange(embedded.shape[1])
        visible = (position <= position[:, None])[None]
        encoder = model.text_encoder
        context = ChunkContext(position[None], encoder.rotary_dim, embedded, visible)
        encoded = model.text_encoder_affine_layer(encoder(embedded, context))[0]
        return F.pad(encoded, (0, 0, 0, 1)) + F.pad(
            model.llm_embedding.weight[BEGIN_SPEECH, None], (0, 0, encoded.shape[0], 0)
        )

    return embed_text
