"""Rounds the layers of a checkpoint to four bits, by the inputs that they have while it speaks.

Shapes: P positions, K inputs of a matrix.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from sled.decoding import DecodingOptions, Request, generate
from sled.fast.int4 import GROUP, round_layers, write_int4
from sled.fast.int4.rounding import layer_matrices
from sled.files.checkpoint import checkpoint_folder
from sled.model.lm import SpeechLM
from sled.model.registry import load_speech_lm
from sled.text.tokenizer import TextTokenizer

# Few of the recorded inputs are padding, behind shorter texts of the same batch.
TEXTS_AT_ONCE = 8


def quantize(
    model: str | Path, texts: Sequence[str], group: int = GROUP, seed: int = 0
) -> tuple[Path, float]:
    """Write the weights of a checkpoint in four bits beside it.

    Args:
        model: The folder of the checkpoint, with its tokenizer.
        texts: What the model says while the inputs of its matrices are recorded: texts like those
            that it will say.
        group: Inputs that share a scale, a multiple of 8.
        seed: Seed of the first text, counted up for the others.

    Returns:
        The file, and the mean error of the outputs of a matrix, weights alone: for each,
        ||rounded - exact|| / ||exact|| over the recorded inputs.

    Raises:
        ValueError: If the checkpoint cannot be read or is not of latent vectors, there is no text,
            or the group is not a multiple of 8.
    """
    if not texts:
        raise ValueError("there is no text to speak: give a file with a text in each line")
    if group < 8 or group % 8:
        raise ValueError(f"group={group} must be a multiple of 8")
    folder = checkpoint_folder(model)
    loaded = load_speech_lm(folder, torch.float32)
    if (head := loaded.config.architecture.head) != "energy":
        raise ValueError(f"int4 is for the energy head, and this one is {head}")
    tokenizer = TextTokenizer.from_pretrained(folder, loaded.config.architecture.text_normalization)
    moments = record_inputs(loaded, [tokenizer.encode(text) for text in texts], seed)
    rounded = round_layers(loaded, moments, group)
    errors = []
    for name, linear in layer_matrices(loaded):
        difference = rounded[name].weights() - linear.weight.detach()
        squared = _output_square(difference, moments[name]) / _output_square(
            linear.weight.detach(), moments[name]
        )
        errors.append(squared**0.5)
    return write_int4(folder, loaded, rounded), sum(errors) / len(errors)


@torch.inference_mode()
def record_inputs(
    model: SpeechLM, texts: Sequence[Sequence[int]], seed: int = 0
) -> dict[str, Tensor]:
    """Let a model say texts as its configuration recommends, and record what its matrices read.

    Args:
        model: In float32.
        texts: Token ids of each.
        seed: As for `quantize`.

    Returns:
        [K, K] sums over all positions of the products of any two inputs, for each matrix of the
        layers by its name.
    """
    options = DecodingOptions.of_model(model.config)
    with _recording(model) as moments:
        for first in range(0, len(texts), TEXTS_AT_ONCE):
            batch = texts[first : first + TEXTS_AT_ONCE]
            generators = [
                torch.Generator().manual_seed(seed + first + number) for number in range(len(batch))
            ]
            generate(model, [Request(text) for text in batch], generators, options)
    return moments


@contextmanager
def _recording(model: SpeechLM) -> Iterator[dict[str, Tensor]]:
    moments: dict[str, Tensor] = defaultdict(lambda: torch.zeros(()))

    def record(name: str, inputs: Tensor) -> None:
        inputs = inputs.flatten(0, -2)  # [P, K]
        moments[name] = moments[name] + inputs.T @ inputs

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor]], None]:
        def before(module: nn.Module, inputs: tuple[Tensor]) -> None:
            record(name, inputs[0])

        return before

    handles = [
        linear.register_forward_pre_hook(hook(name)) for name, linear in layer_matrices(model)
    ]
    try:
        yield moments
    finally:
        for handle in handles:
            handle.remove()


def _output_square(weight: Tensor, moments: Tensor) -> float:
    """The sum of the squared outputs of a matrix [N, K] over the recorded inputs."""
    return float(((weight @ moments) * weight).sum())
