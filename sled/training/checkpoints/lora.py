"""Low-rank adapters (LoRA, Hu et al. 2021) through peft: few weights are trained.

The trainer gets peft's wrapper around the model, so its checkpoints hold only the adapters, in
peft's format. The result of a run is a plain checkpoint with the adapters merged in.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from sled.files.extras import install_command
from sled.model.huggingface import SpeechLlamaForCausalLM
from sled.text.tokenizer import TextTokenizer
from sled.training.arguments import LoraArguments

if TYPE_CHECKING:  # an extra
    from peft import PeftModel

ADAPTER_FOLDER = "adapter"


def add_adapters(model: SpeechLlamaForCausalLM, arguments: LoraArguments) -> PeftModel:
    """Freeze a model and add adapters, which are then the only trained weights.

    Args:
        model: The model; changed in place.
        arguments: Rank, scale, dropout and target layers of the adapters.

    Returns:
        peft's wrapper around the model.

    Raises:
        ValueError: If peft is not installed, or no layer has one of the names.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ValueError(f"--lora_rank needs peft: run {install_command('finetune')}") from error
    _check_targets(model, arguments.lora_targets)
    config = LoraConfig(
        r=arguments.lora_rank,
        lora_alpha=arguments.lora_alpha,
        lora_dropout=arguments.lora_dropout,
        target_modules=arguments.lora_targets,
    )
    return get_peft_model(model, config)


def _check_targets(model: nn.Module, targets: list[str]) -> None:
    """Check the target layers. peft itself ignores unknown names if one name is known."""
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    unknown = [t for t in targets if not any(f".{name}".endswith(f".{t}") for name in layers)]
    if unknown or not targets:
        raise ValueError(
            f"--lora_targets {' '.join(unknown)}: name linear layers by the ends of their names, "
            f"such as {layers[0].rpartition('.')[2]} or {layers[-1]}"
        )


def unwrap(model: Any) -> SpeechLlamaForCausalLM:
    """The model inside peft's wrapper, or the model itself if it is not wrapped."""
    inner: SpeechLlamaForCausalLM = model
    if hasattr(model, "get_base_model"):
        inner = model.get_base_model()
    return inner


def save_merged(model: PeftModel, tokenizer: TextTokenizer, folder: Path) -> None:
    """Write a plain checkpoint with the adapters merged in, and the adapters in a folder in it.

    Args:
        model: peft's wrapper; its adapters are removed.
        tokenizer: The tokenizer of the model.
        folder: Folder of the checkpoint.
    """
    model.save_pretrained(str(folder / ADAPTER_FOLDER))
    merged = model.merge_and_unload(safe_merge=True)
    merged.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
