"""Reading and writing flows; see `sled.codec.network_files`."""

from __future__ import annotations

from pathlib import Path

from sled.codec.flow.base import Flow, SpeechFlow
from sled.codec.flow.cosyvoice import CosyVoiceFlow
from sled.codec.flow.cosyvoice2 import CosyVoice2Flow
from sled.codec.flow.simpletts import SimpleTTSFlow
from sled.codec.flow.step import StepFlow
from sled.codec.network_files import load_part, save_part

FLOWS: dict[str, type[SpeechFlow]] = {
    one.KIND: one for one in (CosyVoiceFlow, CosyVoice2Flow, StepFlow, SimpleTTSFlow)
}
"""The flows by the `kind` in their configuration."""


def load_flow(path: Path) -> SpeechFlow:
    """Load a flow; arguments and errors as for `load_part`."""
    return load_part(path, FLOWS)


def load_encoder_flow(path: Path) -> Flow:
    """Load a flow that has an encoder and an estimator; errors as for `load_part`."""
    if not path.exists():
        raise ValueError(f"no flow at {path}: name the folder of a published model")
    flow = load_flow(path)
    if not isinstance(flow, Flow):
        raise ValueError(f"{path} is a {flow.KIND}, which has no estimator of its own")
    return flow


def save_flow(flow: SpeechFlow, folder: Path) -> None:
    """Write a flow into a folder, with the published names of its tensors."""
    save_part(folder, flow.to_dict(), flow.state_dict())
