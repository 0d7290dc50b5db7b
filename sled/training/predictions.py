"""Predictions of a model for the frames of recordings, to train a codec's decoder on.

The units that a model draws differ from those of recordings: they are blurred where the state of
the model leaves something open. A decoder trained only on recordings makes rough speech of them. A
decoder trained to reconstruct recordings from teacher-forced predictions does not (as vocoders are
trained: Shen et al. 2018, on "ground-truth-aligned" frames).

Shapes: B samples, T frames, D width of a unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from torch import Tensor

from sled.codec import Codec
from sled.data.cache.codes import check_codec
from sled.data.cache.predictions import PredictionsRecord, claim_predictions, write_predictions
from sled.data.cache.shards import read_record
from sled.data.dataset import SpeechDataset, collate, length_mask, open_corpus
from sled.decoding import DecodingOptions
from sled.files.progress import Progress
from sled.loading import check_parts
from sled.model.batch import SpeechBatch
from sled.model.heads.draws import mean_draw
from sled.model.layout import Layout
from sled.model.lm import SpeechLM
from sled.text.tokenizer import TextTokenizer
from sled.training.distillation import guided_states
from sled.training.objectives import sample_units
from sled.training.units import batch_units

CUTS_PER_FILE = 256
BATCH_SIZE = 8
# Largest share of its own frames in the input of the model; that of each sample is random. With
# few own frames, predictions are closer to the recording, with many to free speech.
MAX_OWN_SHARE = 1.0
# Distance of the seeds of two runs; the seeds of files in a run are consecutive.
SEED_STRIDE = 1_000_003


def cache_predictions(
    model: SpeechLM,
    tokenizer: TextTokenizer,
    codec: Codec,
    codes: Path,
    output: Path,
    options: DecodingOptions,
    *,
    hours: float,
    max_duration_s: float = 12.0,
    offline_share: float = 0.5,
    seed: int = 0,
) -> float:
    """Write the predictions of a model for a part of a corpus.

    Existing files are kept.

    Args:
        model: The model in evaluation mode, on the device of the codec.
        tokenizer: Tokenizer of the model.
        codec: Codec of the model, with its transforms.
        codes: A cached corpus; with times of words, if the codec has a token channel.
        output: Folder of the predictions.
        options: Guidance, temperature and number of draws.
        hours: Approximate hours of speech, drawn at random from the whole corpus.
        max_duration_s: Leave out longer cuts.
        offline_share: Share of batches that a streaming model reads in the offline layout.
        seed: Seed of the selection, the noise and the shares of own frames.

    Returns:
        Hours of speech that have predictions.

    Raises:
        ValueError: If the parts do not fit together, a number is out of range, the corpus belongs
            to another codec or has no cut of that length, or the folder has other predictions.
    """
    for name, value in (("hours", hours), ("max_duration_s", max_duration_s)):
        if not value > 0:
            raise ValueError(f"{name}={value:g} must be above 0")
    if not 0 <= offline_share <= 1:
        raise ValueError(f"offline_share={offline_share:g} is a share: give one from 0 to 1")
    check_parts(model.config, tokenizer, codec)
    check_codec(codes, codec)
    short = open_corpus([codes], max_duration_s=max_duration_s)
    cuts = _take_hours(short, hours, seed)
    if not cuts:
        raise ValueError(
            f"{codes} has no cut of at most {max_duration_s:g} s, or hours={hours:g} selects none: "
            "give more of either"
        )
    groups = [cuts[at : at + CUTS_PER_FILE] for at in range(0, len(cuts), CUTS_PER_FILE)]
    record = PredictionsRecord(
        model_digest=model.digest(),
        codec_digest=codec.stored.digest(),
        manifest_digest=read_record(codes).manifest_digest,
        frames_per_latent=codec.frames_per_unit,
        cfg=options.cfg,
        temperature=options.temperature,
        draws=options.draws,
        offline_share=offline_share,
        hours=hours,
        max_duration_s=max_duration_s,
        seed=seed,
        num_files=len(groups),
    )
    missing = claim_predictions(output, record)
    conditions = model.config.architecture.conditions
    dataset = SpeechDataset(tokenizer, codec, with_spoken_tokens=True, conditions=conditions)
    done = len(cuts) - sum(len(groups[number]) for number in missing)
    progress = Progress(f"predictions {output.name}", len(cuts), "clip", done)
    with progress, torch.random.fork_rng():
        for number in missing:
            torch.manual_seed(seed * SEED_STRIDE + number)
            frames: dict[str, Tensor] = {}
            for batch, layout in _batches(groups[number], model.layout, offline_share):
                inputs = collate([dataset[cut] for cut in batch])
                latents = teacher_forced_latents(
                    model, codec, inputs, layout, options, MAX_OWN_SHARE
                )
                predicted = codec.to_stored(latents).to("cpu", torch.float16)
                for row, cut in enumerate(batch):
                    length = int(inputs["num_frames"][row]) * codec.frames_per_unit
                    frames[cut.id] = predicted[row, :length].clone()
                progress.advance(len(batch))
            write_predictions(output, number, frames)
    return sum(float(cut.duration) for cut in cuts) / 3600


def _take_hours(corpus: CutSet, hours: float, seed: int) -> list[Cut]:
    """Draw cuts at random from the whole corpus, which may be sorted by speaker."""
    # Two passes, so that the corpus need not fit in memory.
    total_s = sum(cut.duration for cut in corpus)
    return [c for c in corpus if Random(f"{seed}/{c.id}").random() * total_s < 3600 * hours]


def _batches(
    cuts: Sequence[Cut], layout: Layout, offline_share: float
) -> Iterator[tuple[list[Cut], Layout]]:
    """Yield cuts of similar length, and the layout to read them in, which alternates."""
    ordered = sorted(cuts, key=lambda cut: cut.duration)
    for number, at in enumerate(range(0, len(ordered), BATCH_SIZE)):
        is_offline = int((number + 1) * offline_share) > int(number * offline_share)
        yield ordered[at : at + BATCH_SIZE], Layout() if is_offline else layout


@torch.no_grad()
def teacher_forced_latents(
    model: SpeechLM,
    codec: Codec,
    inputs: dict[str, Any],
    layout: Layout,
    options: DecodingOptions,
    max_own_share: float,
) -> Tensor:
    """Predict each frame of recordings, given the frames before it.

    Args:
        model: The model in evaluation mode.
        codec: Codec of the model, with its transforms.
        inputs: A batch from `collate`.
        layout: How text and speech interleave.
        options: Guidance, temperature and number of draws.
        max_own_share: Largest share of the model's own frames in its input.

    Returns:
        [B, T, D]; 0 at padding.
    """
    ids, text_mask = inputs["input_ids"].to(model.device), inputs["attention_mask"].to(model.device)
    units = batch_units(codec, inputs)
    mask = length_mask(inputs["num_frames"]).to(model.device)
    conditions = {
        name: values.to(model.device) for name, values in inputs.get("conditions", {}).items()
    }
    batch = SpeechBatch(ids, text_mask, units, mask, layout, conditions)
    if max_own_share > 0:
        batch = sample_units(model, batch, units, max_own_share)
    states = guided_states(model, batch, options.cfg)
    is_stop = layout.arrange(text_mask.sum(1).tolist(), mask.sum(1).tolist()).is_stop
    states = states[~is_stop.to(states.device)]
    noise = options.temperature * torch.randn(len(states), model.noise_width)
    draws = torch.full((len(states),), options.draws, device=states.device)
    drawn = mean_draw(model.draw, states, noise.to(states), draws, options.draws)
    predicted = torch.zeros_like(units)
    predicted[mask.bool()] = drawn.to(predicted.dtype)
    return predicted
