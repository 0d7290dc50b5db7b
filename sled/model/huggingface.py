"""The model for transformers: `from_pretrained`, `save_pretrained`, `AutoModel`, the Trainer.

Speaking does not import this file.
"""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PreTrainedConfig
from transformers import __version__ as transformers_version

from sled.model.config import FIXED_KEYS, KEYS, MODEL_TYPE, Config, make_parts, published_keys

_TRANSFORMERS_KEYS = set(PreTrainedConfig().to_dict()) - KEYS.keys()


class SpeechLlamaConfig(PreTrainedConfig, Config):
    """A `Config` for transformers; it also has the flat keys of `config.json` as attributes.

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
        # What `make_parts` accepts besides our keys is for transformers as well.
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
            super().__setattr__(name, value)

    def to_dict(self) -> dict[str, Any]:
        """Return everything, the flat keys and those of transformers."""
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
