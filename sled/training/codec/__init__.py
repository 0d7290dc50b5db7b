"""Training of codecs."""

from sled.training.codec.config import CodecTrainingConfig
from sled.training.codec.trainer import CodecTrainer

__all__ = ["CodecTrainer", "CodecTrainingConfig"]
