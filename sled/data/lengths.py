"""How long speech is, for its text and in all: what a model is held to when it speaks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from lhotse.cut import Cut
from lhotse.utils import compute_num_samples

from sled.codec import Codec
from sled.text.tokenizer import TextTokenizer

# Of the recordings, so many are left aside at either end: their transcripts may be wrong.
_OUTLIERS = 0.005
# In a batch, where samples are joined.
_BATCH_CUTS = 16


@dataclass(frozen=True)
class FramesPerToken:
    """Frames of speech for each token of its text, `<s>` and `</s>` included.

    With these two a text of n words counts as n and something, just as speech has some silence
    around it, so short texts and long ones are measured more alike.

    Attributes:
        low, high: Between these lie 99 of 100 recordings.
        median: Half of them have more.
        num_cuts: Recordings measured.
    """

    low: float
    median: float
    high: float
    num_cuts: int


def measure_frames_per_token(
    cuts: Iterable[Cut], tokenizer: TextTokenizer, codec: Codec, max_cuts: int = 10_000
) -> FramesPerToken:
    """Measure a corpus, cached or not. No audio is read: cuts know how long they are.

    Args:
        cuts: Those without a text are passed over.
        tokenizer: Of the model.
        codec: Only its rates count.
        max_cuts: How many cuts to look at, from the first on; a corpus may have no end.

    Raises:
        ValueError: No cut has a text.
    """
    ratios = []
    for cut in islice(cuts, max_cuts):
        if not cut.supervisions or not (cut.supervisions[0].text or "").strip():
            continue
        num_samples = compute_num_samples(cut.duration, codec.sample_rate)
        num_tokens = len(tokenizer.encode(cut.supervisions[0].text))
        ratios.append(codec.num_frames(num_samples) / num_tokens)
    if not ratios:
        raise ValueError("no cut has a text to measure speech by: transcribe the corpus")
    low, median, high = np.quantile(ratios, [_OUTLIERS, 0.5, 1 - _OUTLIERS]).tolist()
    return FramesPerToken(low, median, high, len(ratios))


def measure_trained_frames(
    cuts: Iterable[Cut],
    group: Callable[[Sequence[Cut]], Sequence[Sequence[Cut]]],
    codec: Codec,
    max_cuts: int = 10_000,
) -> int:
    """Frames that all but a few samples of training have at most.

    Args:
        cuts: Of training. They are taken as they come: batches of like length would take long to
            make, and have samples about as long.
        group: Tells which cuts of a batch make up each sample, see `sled.data.dataset`.
        codec: Only its rates count.
        max_cuts: How many cuts to look at, from the first on.

    Raises:
        ValueError: There is no cut.
    """
    first = islice(cuts, max_cuts)
    batches = iter(lambda: list(islice(first, _BATCH_CUTS)), [])
    seconds = [sum(cut.duration for cut in one) for batch in batches for one in group(batch)]
    if not seconds:
        raise ValueError("there is no cut to measure: the corpus is empty")
    num_samples = compute_num_samples(np.quantile(seconds, 1 - _OUTLIERS), codec.sample_rate)
    return codec.num_frames(num_samples)
