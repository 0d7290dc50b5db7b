"""What fine-tuning on a new voice takes over from a checkpoint and its codec.

Weights tell nothing of how they came to be, and training flags have defaults that would change it:
what the checkpoint's configuration keeps, and what the form of the codec asks for, is made into
flags here.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from sled.codec import load_codec
from sled.model.huggingface import SpeechLlamaConfig
from sled.training.run import FREE_SETTINGS

# Of speech, in a batch.
_BATCH_S = 40.0


@dataclass(frozen=True)
class Inheritance:
    """Settings for training on from a checkpoint.

    Attributes:
        train_flags: For `scripts/train.py`.
        align_flags: For `scripts/align.py`. None: training needs no times of words.
        batch_frames: Of the checkpoint, in a batch that suits a graphics card.
    """

    train_flags: list[str]
    align_flags: list[str] | None
    batch_frames: int

    @classmethod
    def of(cls, checkpoint: str | Path, codec: str | Path) -> Inheritance:
        """What there is to take over.

        Args:
            checkpoint: Folder or hub name.
            codec: As for `load_codec`.

        Raises:
            ValueError: If there is no such checkpoint or codec.
        """
        config = SpeechLlamaConfig.from_pretrained(checkpoint)
        kept = {name: getattr(config, name) for name in FREE_SETTINGS}
        train = [f"--{name}={value}" for name, value in kept.items() if value is not None]
        align = None
        if load_codec(codec).token_channel is not None:
            # With a token channel the spoken tokens are known: attention to them can be taught.
            train.append("--alignment_weight=1")
            normalization = config.architecture.text_normalization
            align = [] if normalization is None else [f"--text_normalization={normalization}"]
        return cls(train, align, round(_BATCH_S * config.architecture.frame_rate))

    def to_shell(self) -> str:
        """Assignments that a shell can source; flags are parted by spaces."""
        variables = {
            "INHERITED_FLAGS": " ".join(self.train_flags),
            "ALIGN": "0" if self.align_flags is None else "1",
            "ALIGN_FLAGS": " ".join(self.align_flags or []),
            "DEFAULT_BATCH_FRAMES": str(self.batch_frames),
        }
        return "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
