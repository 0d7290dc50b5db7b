"""Low-rank adapters (LoRA, Hu et al. 2021) through peft: few weights are trained, all others kept.

The trainer is given peft's wrapper around the model, which it knows: its checkpoints then hold the
adapters alone, in peft's form. What a run leaves in the end is a plain checkpoint again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from sled.model.lm import SpeechLlamaForCausalLM
from sled.text.tokenizer import TextTokenizer
from sled.training.arguments import LoraArguments

if TYPE_CHECKING:  # an extra
    from peft import PeftModel

ADAPTER_FOLDER = "adapter"


def add_adapters(model: SpeechLlamaForCausalLM, arguments: LoraArguments) -> PeftModel:
    """Freeze a model and give it adapters, which alone are trained then.

    Args:
        model: Changed in place.
        arguments: Rank, scale, dropout and places of the adapters.

    Raises:
        ValueError: If peft is not installed, or no layer goes by one of the names.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ValueError("--lora_rank needs peft: run pip install 'sled[finetune]'") from error
    _check_targets(model, arguments.lora_targets)
    config = LoraConfig(
        r=arguments.lora_rank,
        lora_alpha=arguments.lora_alpha,
        lora_dropout=arguments.lora_dropout,
        target_modules=arguments.lora_targets,
    )
    return get_peft_model(model, config)


def _check_targets(model: nn.Module, targets: list[str]) -> None:
    """peft itself passes over names that nothing goes by, as long as one of them is good."""
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    unknown = [t for t in targets if not any(f".{name}".endswith(f".{t}") for name in layers)]
    if unknown or not targets:
        raise ValueError(
            f"--lora_targets {' '.join(unknown)}: name linear layers by the ends of their names, "
            f"such as {layers[0].rpartition('.')[2]} or {layers[-1]}"
        )


def unwrap(model: Any) -> SpeechLlamaForCausalLM:
    """The model itself, with the adapters in it, if it is in peft's wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def save_merged(model: PeftModel, tokenizer: TextTokenizer, folder: Path) -> None:
    """Write a plain checkpoint with the adapters merged in, and them alone in a folder in it.

    Args:
        model: With adapters, which are gone from it afterwards.
        tokenizer: The model's.
        folder: Where the checkpoint goes.
    """
    model.save_pretrained(str(folder / ADAPTER_FOLDER))
    merged = model.merge_and_unload(safe_merge=True)
    merged.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
