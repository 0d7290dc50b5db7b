"""Times the forms of a model on this machine, once for its sizes, and keeps the times on disk.

There is a file for each combination of sizes, processor, threads and versions. A file that is
damaged or cannot be written is as good as none.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from sled.files.without_weights import without_weights
from sled.model.config import Config
from sled.model.interface import FrameModel
from sled.model.lm import SpeechLM

logger = logging.getLogger(__name__)

# All layers are alike, so few of them tell which form is fastest.
LAYERS, BLOCKS = 1, 1
POSITIONS, STEPS = 64, 6
PACKAGES = ("sled", "torch", "onnxruntime")
# Sizes that a form is made for; others, such as the vocabulary, do not change a step.
SIZES = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "head_dim", "diffloss_w", "diffloss_d", "noise_channels"),
    "vae_embed_dim",
)

Times = dict[str, float]
Convert = Callable[[SpeechLM, str], FrameModel]


def cache_folder() -> Path:
    """The folder for what can be computed again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sled"


def describe(config: Config, machine: str) -> dict[str, Any]:
    """What the times depend on.

    Args:
        config: Sizes of the model.
        machine: The processor and its kernels.
    """
    sizes = asdict(config.architecture)
    return {
        "sizes": {name: sizes[name] for name in SIZES},
        "machine": machine,
        "threads": torch.get_num_threads(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _file(described: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    return cache_folder() / f"forms-{digest[:16]}.json"


def read_times(described: dict[str, Any], names: Sequence[str]) -> Times | None:
    """Return the milliseconds that were measured for these forms; None if they were not."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads(_file(described).read_text(encoding="utf-8"))
        if kept["of"] == described:
            return {name: float(kept["ms"][name]) for name in names}
    return None


def write_times(described: dict[str, Any], times: Times) -> None:
    """Keep what was measured, in place of an earlier measurement."""
    path = _file(described)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem)
        with open(handle, "w", encoding="utf-8") as file:
            json.dump({"of": described, "ms": times}, file, indent=1)
        os.replace(temporary, path)
    except OSError as error:
        logger.info("the times of the forms are not kept: %s", error)


@torch.inference_mode()
def time_forms(config: Config, names: Sequence[str], convert: Convert) -> Times:
    """Measure a step of each form with guidance, in turns; the least of several.

    Args:
        config: Sizes of the model. A few layers with random weights are timed.
        names: Precisions.
        convert: Makes the form of a precision; the model is not used any more.

    Returns:
        Milliseconds of a step of the whole model.
    """
    sizes = config.architecture
    layers, blocks = min(LAYERS, sizes.num_hidden_layers), min(BLOCKS, sizes.diffloss_d)
    layer_share, block_share = layers / sizes.num_hidden_layers, blocks / sizes.diffloss_d
    part = Config(replace(sizes, num_hidden_layers=layers, diffloss_d=blocks, vocab_size=8))
    forms = {name: convert(_random_model(part), name) for name in names}
    inputs = torch.zeros(2, POSITIONS, sizes.hidden_size)
    caches = {name: form.new_cache() for name, form in forms.items()}
    for name, form in forms.items():
        caches[name].add_rows(2)
        form.advance(inputs.to(form.dtype), [0, 1], [POSITIONS, POSITIONS], caches[name])
    least = dict.fromkeys(names, float("inf"))
    for _ in range(STEPS):
        for name, form in forms.items():
            newest = inputs[:, :1].to(form.dtype)
            noise = torch.zeros(1, form.noise_width, dtype=form.dtype)
            start = time.perf_counter()
            hidden = form.advance(newest, [0, 1], [1, 1], caches[name])
            between = time.perf_counter()
            form.draw(hidden[:1], noise)
            layers_s, head_s = between - start, time.perf_counter() - between
            step_s = layers_s / layer_share + head_s / block_share
            least[name] = min(least[name], 1e3 * step_s)
    return least


def _random_model(config: Config) -> SpeechLM:
    with without_weights():
        model = SpeechLM(config)
    model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        weight.uniform_(-0.05, 0.05, generator=generator)
    for buffer in model.buffers():
        buffer.zero_()
    return model.eval()
