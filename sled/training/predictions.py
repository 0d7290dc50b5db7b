"""Ground-truth-aligned (GTA) frames, for a codec's decoder to learn to speak.

The frames that a model writes are not those of recordings: what its states leave open is blurred.
A decoder that has heard only recordings makes rough speech of them. One that has learnt to make
the recording of what the model predicts for each of its frames, teacher-forced, knows them
(as vocoders are trained: Shen et al. 2018).

Shapes: B samples, T frames, D latent width; k T frames of D' of the codec that a corpus is
encoded with.
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
from tqdm import tqdm

from sled.codec import Codec
from sled.compatibility import check_parts
from sled.data.cache.codes import check_codec
from sled.data.cache.predictions import PredictionsRecord, claim_predictions, write_predictions
from sled.data.cache.shards import read_record
from sled.data.dataset import SpeechDataset, collate, length_mask, open_corpus
from sled.decoding import DecodingOptions
from sled.model.heads.draws import mean_draw
from sled.model.layout import Layout
from sled.model.lm import SpeechLlamaForCausalLM
from sled.text.tokenizer import TextTokenizer
from sled.training.distillation import guided_states
from sled.training.units import batch_units

CUTS_PER_FILE = 256
BATCH_SIZE = 8
# In each sample a share of the frames that the model hears, evenly spread up to this one, is its
# own: with few of them it is nearer to the recording, with many to how it speaks.
MAX_OWN_SHARE = 1.0
# Each file has a seed of its own, far from those of other files of other seeds.
SEED_STRIDE = 1_000_003


def cache_predictions(
    model: SpeechLlamaForCausalLM,
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
    """Write what a model predicts for a part of a corpus.

    Files that are there already are left as they are.

    Args:
        model: In evaluation mode, on the codec's device.
        tokenizer: The model's.
        codec: As the model sees it.
        codes: A cached corpus; aligned, if the model's latents tell the token being said.
        output: Folder for the frames.
        options: Guidance, temperature and number of draws.
        hours: Of speech, about: taken at random from all of the corpus.
        max_duration_s: Longer cuts are left out.
        offline_share: Share of batches that a streaming model reads in the offline layout.
        seed: Decides what is taken, the head's noise, and how much of its own the model hears.

    Returns:
        Hours of speech that there are frames for.

    Raises:
        ValueError: If the parts do not fit together, a number makes no sense, the corpus is of
            another codec or holds nothing of that length, or the folder is one of other frames.
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
            f"{codes} holds nothing of up to {max_duration_s:g} s, or no clip as short as "
            f"{hours:g} hours: give more of either"
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
    dataset = SpeechDataset(tokenizer, codec, with_spoken_tokens=True)
    done = len(cuts) - sum(len(groups[number]) for number in missing)
    bar = tqdm(
        desc=f"predictions {output.name}", total=len(cuts), initial=done, unit="clip", disable=None
    )
    with bar, torch.random.fork_rng():
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
                bar.update(len(batch))
            write_predictions(output, number, frames)
    return sum(cut.duration for cut in cuts) / 3600


def _take_hours(corpus: CutSet, hours: float, seed: int) -> list[Cut]:
    """Cuts from all over a corpus: its speakers may come one after the other."""
    # Twice through it, rather than all of it in memory at once.
    total_s = sum(cut.duration for cut in corpus)
    return [c for c in corpus if Random(f"{seed}/{c.id}").random() * total_s < 3600 * hours]


def _batches(
    cuts: Sequence[Cut], layout: Layout, offline_share: float
) -> Iterator[tuple[list[Cut], Layout]]:
    """Cuts that are alike in length, and the layout to read them in, which takes turns."""
    ordered = sorted(cuts, key=lambda cut: cut.duration)
    for number, at in enumerate(range(0, len(ordered), BATCH_SIZE)):
        is_offline = int((number + 1) * offline_share) > int(number * offline_share)
        yield ordered[at : at + BATCH_SIZE], Layout() if is_offline else layout


@torch.no_grad()
def teacher_forced_latents(
    model: SpeechLlamaForCausalLM,
    codec: Codec,
    inputs: dict[str, Any],
    layout: Layout,
    options: DecodingOptions,
    max_own_share: float,
) -> Tensor:
    """What a model predicts for each frame of recordings, given those before it.

    Args:
        model: In evaluation mode.
        codec: As the model sees it.
        inputs: A batch as `collate` makes it.
        layout: How text and speech interleave.
        options: Guidance, temperature and number of draws.
        max_own_share: Up to this share of the frames before are the model's own, see
            `SpeechLlamaForCausalLM.mix_in_own`.

    Returns:
        [B, T, D]; 0 at padding.
    """
    ids, text_mask = inputs["input_ids"].to(model.device), inputs["attention_mask"].to(model.device)
    latents = batch_units(codec, inputs)
    mask = length_mask(inputs["num_frames"]).to(model.device)
    history = latents
    if max_own_share > 0:
        history = model.mix_in_own(ids, text_mask, latents, latents, mask, layout, max_own_share)
    states = guided_states(model, ids, text_mask, history, mask, layout, options.cfg)
    is_stop = layout.arrange(text_mask.sum(1).tolist(), mask.sum(1).tolist()).is_stop
    states = states[~is_stop.to(states.device)]
    noise = options.temperature * torch.randn(len(states), model.config.architecture.noise_channels)
    draws = torch.full((len(states),), options.draws, device=states.device)
    drawn = mean_draw(model.draw, states, noise.to(states), draws, options.draws)
    predicted = torch.zeros_like(latents)
    predicted[mask.bool()] = drawn.to(predicted.dtype)
    return predicted
