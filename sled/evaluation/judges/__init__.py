"""Judges: each of them hears utterances, and writes down figures of each."""

from sled.evaluation.judges.base import Heard, Judge
from sled.evaluation.judges.load import JudgeSettings, load_judges

__all__ = ["Heard", "Judge", "JudgeSettings", "load_judges"]
