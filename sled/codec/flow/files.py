"""Reading and writing flows; see `sled.codec.network_files`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sled.codec.flow.base import Flow, SpeechFlow
from sled.codec.flow.cosyvoice import CosyVoiceFlow
from sled.codec.flow.cosyvoice2 import CosyVoice2Flow
from sled.codec.flow.simpletts import SimpleTTSFlow
from sled.codec.flow.step import StepFlow
from sled.codec.network_files import load_part, save_part
from sled.files.published_config import configurations_in, part_of, token_rate_of

FLOWS: dict[str, type[SpeechFlow]] = {
    one.KIND: one for one in (CosyVoiceFlow, CosyVoice2Flow, StepFlow, SimpleTTSFlow)
}
"""The flows by the `kind` in their configuration."""

# What the tensors of a flow do not tell, of its encoder and of its estimator.
_UNTOLD = {
    "encoder": (
        *("dropout_rate", "positional_dropout_rate", "attention_dropout_rate"),
        "static_chunk_size",
    ),
    "estimator": ("num_heads", "attention_head_dim", "static_chunk_size"),
}


def load_flow(
    path: Path, config: Mapping[str, Any] | None = None, token_rate: float | None = None
) -> SpeechFlow:
    """Load a flow.

    Args:
        path: As for `load_part`.
        config: For a state dict: a published configuration of the model, which tells the rate of
            the tokens, heads and chunks. Without it, or if it tells nothing of such a flow, the one
            in the same folder does, if there is one.
        token_rate: Tokens per second of a flow that may have any, if nothing else tells.

    Raises:
        OSError: As `load_part`.
        ValueError: As `load_part`.
    """
    configs: list[Mapping[str, Any]] = [] if config is None else [config]
    if path.is_file():
        configs += configurations_in(path.parent)
    return load_part(path, FLOWS, partial(_told, configs, token_rate))


def _told(
    configs: Sequence[Mapping[str, Any]], token_rate: float | None, kind: str
) -> dict[str, Any]:
    """What configurations tell of a flow of a kind, by the keys of its `config.json`."""
    told: dict[str, Any] = {}
    # The rate of other flows is that of the mel spectrogram.
    if token_rate is not None and kind == CosyVoiceFlow.KIND:
        told["input_frame_rate"] = token_rate
    for config in configs:
        if (flow := part_of(config, "flow", kind.split()[-1])) is None:
            continue
        if (rate := token_rate_of(config)) is not None:
            told["input_frame_rate"] = rate
        decoder = flow.get("decoder")
        estimator = decoder.get("estimator") if isinstance(decoder, dict) else None
        for name, part in (("encoder", flow.get("encoder")), ("estimator", estimator)):
            given = part if isinstance(part, dict) else {}
            told[name] = {key: given[key] for key in _UNTOLD[name] if given.get(key) is not None}
        break
    return told


def load_encoder_flow(path: Path, config: Mapping[str, Any] | None = None) -> Flow:
    """Load a flow that has an encoder and an estimator; arguments and errors as for `load_flow`."""
    if not path.exists():
        raise ValueError(f"no flow at {path}: name the folder of a published model")
    flow = load_flow(path, config)
    if not isinstance(flow, Flow):
        raise ValueError(f"{path} is a {flow.KIND}, which has no estimator of its own")
    return flow


def save_flow(flow: SpeechFlow, folder: Path) -> None:
    """Write a flow into a folder, with the published names of its tensors."""
    save_part(folder, flow.to_dict(), flow.state_dict())
