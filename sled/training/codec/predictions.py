"""Training segments with the latents that a model predicts for them.

Shapes: B segments, S samples; T frames of D, a hop of samples for each.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.utils import compute_num_samples
from torch import Tensor
from typing_extensions import override

from sled.codec import Codec
from sled.data.cache.codes import cut_waveform
from sled.data.cache.predictions import Predictions
from sled.training.codec.data import Segments, SegmentSampler

logger = logging.getLogger(__name__)


class PredictionSampler(SegmentSampler):
    """A sampler of segments with the predictions of a model for their frames.

    Clips without predictions, or shorter than a segment, are left out. All keep their level,
    because the model predicted from recordings at that level.

    Args:
        cuts: the corpus, or more.
        predictions: the frames.
        hop_length: samples for each frame.
        sample_rate: as for `SegmentSampler`.
        segment_samples: as for `SegmentSampler`.
        loudness_db: as for `SegmentSampler`; it only determines which segments are silent.
        max_cached_hours: as for `SegmentSampler`.
        with_voice: as for `SegmentSampler`.

    Raises:
        ValueError: if no clip is left, or one is not the clip that the predictions were made for.
    """

    def __init__(
        self,
        cuts: CutSet,
        predictions: Predictions,
        hop_length: int,
        *,
        sample_rate: int,
        segment_samples: int,
        loudness_db: float,
        max_cached_hours: float,
        with_voice: bool = False,
    ) -> None:
        assert segment_samples % hop_length == 0
        self.predictions, self.grid = predictions, hop_length
        known = list(cuts_with_frames(cuts, predictions, hop_length, sample_rate))
        if not known:
            raise ValueError(
                "the predictions are of no clip of the manifest: train on the manifest that the "
                "codes were made of"
            )
        least_s = segment_samples / sample_rate
        long_enough = [cut for cut in known if cut.duration >= least_s]
        if not long_enough:
            raise ValueError(f"no clip lasts {least_s:g} s: lower --segment_s")
        logger.info("%d of %d clips last %g s", len(long_enough), len(known), least_s)
        super().__init__(
            long_enough,
            sample_rate=sample_rate,
            segment_samples=segment_samples,
            loudness_db=loudness_db,
            loudness_jitter_db=0.0,
            max_cached_hours=max_cached_hours,
            with_voice=with_voice,
        )

    @override
    def batch(self, size: int, generator: torch.Generator) -> Segments:
        waveforms, frames = [], []
        segments = self._audible(size, generator)
        for segment in segments:
            first, count = segment.start // self.grid, self.segment_samples // self.grid
            waveforms.append(segment.waveform / segment.gain)
            frames.append(
                self.predictions[self.cuts[segment.index].id][first : first + count].float().T
            )
        predicted = torch.stack(frames)
        return Segments(torch.stack(waveforms).unsqueeze(1), predicted, voice=self._voice(segments))


def open_predictions(folder: str, codec: Codec) -> Predictions:
    """Open the predictions of a model.

    Args:
        folder: Written by `sled cache predictions`.
        codec: The codec whose decoder is to decode them.

    Raises:
        ValueError: If there are no predictions, or they were made for another codec.
    """
    predictions = Predictions(Path(folder))
    if predictions.record.codec_digest != codec.stored.digest():
        raise ValueError(
            f"{folder} holds predictions for another codec than the one to adapt: make them with "
            "this one (`sled cache predictions`)"
        )
    return predictions


def load_prediction_clips(
    cuts: CutSet, predictions: Predictions, hop_length: int, sample_rate: int, most: int
) -> list[tuple[Tensor, Tensor]]:
    """Load whole clips and their predictions, to evaluate with.

    Args:
        cuts: The corpus to validate on, or more.
        predictions: The frames.
        hop_length: Samples for each frame.
        sample_rate: Sample rate of the codec, in Hz.
        most: Number of clips, from the first on.

    Returns:
        For each clip its waveform [S], at its own level, and the frames [T, D] predicted for it.

    Raises:
        ValueError: If there are predictions for none, or for other clips with the same ids.
    """
    known = islice(cuts_with_frames(cuts, predictions, hop_length, sample_rate), most)
    clips = [(cut_waveform(cut, sample_rate), predictions[cut.id].float()) for cut in known]
    if not clips:
        raise ValueError(
            "eval_predictions holds predictions for no clip of the eval manifest: make them from "
            "its codes (`sled cache predictions`)"
        )
    return clips


def cuts_with_frames(
    cuts: CutSet, predictions: Predictions, hop_length: int, sample_rate: int
) -> Iterator[Cut]:
    """The cuts that there are predictions for.

    Raises:
        ValueError: If a cut has another number of frames than its prediction.
    """
    for cut in cuts:
        if cut.id in predictions:
            frames = -(-compute_num_samples(cut.duration, sample_rate) // hop_length)
            if (
                not 0
                <= predictions.num_frames[cut.id] - frames
                < predictions.record.frames_per_latent
            ):
                raise ValueError(
                    f"cut {cut.id} has {frames} frames, and {predictions.num_frames[cut.id]} were "
                    "predicted for it: train on the manifest that the codes were made of"
                )
            yield cut
