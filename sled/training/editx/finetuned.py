"""The models of a fine-tuning: those that it begins with, and those that it made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sled.codec.flow.base import Flow
from sled.codec.flow.files import load_encoder_flow
from sled.training.editx.chat import ChatLM, load_chat_lm
from sled.training.editx.checkpoints import load_finetuned, recorded_settings
from sled.training.editx.settings import FLOW, LLM, read_settings


@dataclass(frozen=True, eq=False)
class FinetunedModel:
    """Fine-tuned models, in evaluation mode on the CPU.

    Attributes:
        llm: The language model, `llm.model` as transformers knows it. None: none was asked for.
        flow: The flow, for the `TokenNetworks` of a codec. None: none was asked for.
    """

    llm: ChatLM | None
    flow: Flow | None


def load_finetuned_model(
    config: str | Path | None = None,
    *,
    llm_ckpt_path: str | Path | None = None,
    flow_ckpt_path: str | Path | None = None,
    trust_remote_code: bool = False,
) -> FinetunedModel:
    """Load what `sled finetune` has written into the models that it began with, by name.

    Args:
        config: The configuration of the fine-tuning. None: those that the checkpoints tell.
        llm_ckpt_path: Such as `llm_best.pt`. None: no language model.
        flow_ckpt_path: Such as `flow_best.pt`. None: no flow.
        trust_remote_code: Whether code in the folder of the language model may run, which the
            published model needs. A configuration may allow it, too, but no checkpoint.

    Raises:
        ValueError: If configuration, models or checkpoints cannot be used.
        OSError: If the configuration cannot be read.
    """
    llm: ChatLM | None = None
    flow: Flow | None = None
    if llm_ckpt_path is not None:
        settings = _settings(config, LLM, Path(llm_ckpt_path))
        settings["model"][LLM]["trust_remote_code"] |= trust_remote_code
        llm = begin_llm(settings)
        load_finetuned(llm, Path(llm_ckpt_path))
        llm.eval()
    if flow_ckpt_path is not None:
        flow = begin_flow(_settings(config, FLOW, Path(flow_ckpt_path)))
        load_finetuned(flow, Path(flow_ckpt_path))
        flow.eval()
    return FinetunedModel(llm, flow)


def _settings(config: str | Path | None, mode: str, checkpoint: Path) -> dict[str, Any]:
    if config is not None:
        return read_settings(Path(config), mode)
    settings = recorded_settings(checkpoint)
    settings["model"][LLM]["trust_remote_code"] = False
    return settings


def begin_llm(settings: Mapping[str, Any]) -> ChatLM:
    """The language model that a fine-tuning begins with, with new adapters.

    Args:
        settings: From `read_settings`.

    Raises:
        ValueError: As `load_chat_lm`.
    """
    llm = settings["model"][LLM]
    return load_chat_lm(
        Path(llm["path"]),
        rank=llm["lora_r"],
        alpha=llm["lora_alpha"],
        dropout=llm["lora_dropout"],
        targets=llm["lora_targets"],
        trust_remote_code=llm["trust_remote_code"],
        first_speech=llm["first_speech"],
        num_speech=llm["num_speech"],
    )


def begin_flow(settings: Mapping[str, Any]) -> Flow:
    """The flow that a fine-tuning begins with; arguments and errors as for `begin_llm`."""
    return load_encoder_flow(Path(settings["model"][FLOW]["path"]))
