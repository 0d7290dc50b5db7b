"""Forced alignment of words and letters. The aligner is trained on the corpus that it aligns.

Shapes: B clips, S samples, T frames, F features of a frame, C symbols (letters and the blank).
"""

from sled.data.alignment.align import AlignmentReport, align_corpora
from sled.data.alignment.training import TrainingOptions

__all__ = ["AlignmentReport", "TrainingOptions", "align_corpora"]
