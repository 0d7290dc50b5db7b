"""The model for transformers: `from_pretrained`, `save_pretrained`, `AutoModel`, the Trainer.

Speaking does not import this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import __version__ as transformers_version

from sled.files.checkpoint import CONFIG_FILE, read_weights, refuse_tensors, unreadable
from sled.model.config import KEYS, MODEL_TYPE, Config, make_parts, published_keys
from sled.model.config_keys import FIXED_KEYS
from sled.model.lm import SpeechLM

_TRANSFORMERS_KEYS = set(PreTrainedConfig().to_dict()) - KEYS.keys()


# Both bases have a `from_dict` of flat keys; the one of transformers comes first.
class SpeechLlamaConfig(PreTrainedConfig, Config):  # type: ignore[misc, no-untyped-call]
    """A `Config` for transformers, with the flat keys of `config.json` as further attributes.

    Args:
        **keys: Keys of `config.json`, including those that transformers has in any configuration.

    Raises:
        ValueError: For an unknown key or values that no model can have.
    """

    model_type = MODEL_TYPE

    def __init__(self, **keys: Any) -> None:
        theirs = {
            key: keys.pop(key) for key in list(keys) if key in _TRANSFORMERS_KEYS or key[0] == "_"
        }
        for part, value in make_parts(keys).items():
            setattr(self, part, value)
        # Further keys that `make_parts` accepts are those of transformers, too.
        theirs |= {key: keys[key] for key in keys.keys() - KEYS.keys() - FIXED_KEYS.keys()}
        super().__init__(**theirs)

    def __getattr__(self, name: str) -> Any:
        if name in KEYS:
            part, one = KEYS[name]
            return getattr(getattr(self, part), one.name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in KEYS:
            part, one = KEYS[name]
            setattr(getattr(self, part), one.name, value)
        else:
            super().__setattr__(name, value)  # type: ignore[no-untyped-call]

    def to_dict(self) -> dict[str, Any]:
        """Return the flat keys and those of transformers."""
        theirs = super().to_dict()
        for part in ("architecture", "objective", "speaking"):
            theirs.pop(part, None)
        return {**theirs, **published_keys(self)}

    def to_diff_dict(self) -> dict[str, Any]:
        """Return what `config.json` holds."""
        stored = {**Config.to_dict(self), "transformers_version": transformers_version}
        if self.architectures is not None:
            stored["architectures"] = self.architectures
        if self.dtype is not None:
            stored["torch_dtype"] = str(self.dtype).removeprefix("torch.")
        return stored


AutoConfig.register(SpeechLlamaConfig.model_type, SpeechLlamaConfig, exist_ok=True)


class SpeechLlamaForCausalLM(SpeechLM, PreTrainedModel):  # type: ignore[no-untyped-call]
    """A `SpeechLM` for transformers; the class name is the published architecture name.

    Args:
        config: Its settings.
    """

    config: SpeechLlamaConfig
    config_class = SpeechLlamaConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    # A constant, which some writers of the format leave out.
    _keys_to_ignore_on_load_missing = [r"bceloss\.pos_weight"]
    _no_split_modules = ["DecoderLayer"]
    supports_gradient_checkpointing = True

    def __init__(self, config: SpeechLlamaConfig) -> None:
        PreTrainedModel.__init__(self, config)
        self.add_modules()
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        self.initialize(module)

    @classmethod
    def from_pretrained(  # type: ignore[override]  # all arguments are passed on
        cls, name_or_path: str | Path, *args: Any, **kwargs: Any
    ) -> Any:
        """Load a checkpoint from a folder or the hub, and check that it is complete.

        Args:
            name_or_path: Folder with `config.json` and `model.safetensors`, or a hub name.
            *args: As for `transformers.PreTrainedModel.from_pretrained`.
            **kwargs: As for `transformers.PreTrainedModel.from_pretrained`. With a
                `dtype`, loading a folder takes no more memory than the weights of that type.

        Returns:
            The model, in evaluation mode (or what `output_loading_info=True` asks for).

        Raises:
            ValueError: Listing the tensors that are missing, unknown or of the wrong shape; or
                for weights that cannot be read.
            OSError: If there is no such checkpoint.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        # Only safetensors: a pickle can run code.
        kwargs.update(use_safetensors=True, ignore_mismatched_sizes=True, output_loading_info=True)
        source: str | None = str(name_or_path)
        dtype, folder = kwargs.get("dtype"), Path(name_or_path)
        if isinstance(dtype, torch.dtype) and (folder / CONFIG_FILE).is_file():
            kwargs.setdefault("config", cls.config_class.from_pretrained(folder))
            kwargs["state_dict"], source = read_weights(folder, dtype), None
        try:
            # With the loading info, which the declared type leaves out.
            loaded: Any = super().from_pretrained(source, *args, **kwargs)
        except SafetensorError as error:
            raise unreadable(name_or_path, error) from error
        model, info = loaded
        misshapen = {key: (found, wanted) for key, found, wanted in info["mismatched_keys"]}
        refuse_tensors(name_or_path, info["missing_keys"], info["unexpected_keys"], misshapen)
        return (model, info) if wants_info else model


AutoModel.register(SpeechLlamaConfig, SpeechLlamaForCausalLM, exist_ok=True)
