"""What is compared: recordings, a codec, models in a mode, and systems of others."""

from sled.evaluation.systems.base import System, Utterance
from sled.evaluation.systems.external import parse_system
from sled.evaluation.systems.model import Models
from sled.evaluation.systems.recordings import CodecSystem, Recordings

__all__ = ["CodecSystem", "Models", "Recordings", "System", "Utterance", "parse_system"]
