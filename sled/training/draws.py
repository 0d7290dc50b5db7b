"""What a model draws where recordings are: frames that a codec's decoder shall learn to speak.

The frames that a model writes are not those of recordings: what their states leave open is
blurred. A decoder that has heard only recordings makes rough speech of them, and one that has
learnt to make the recording of what the model drew for it makes clear speech (ground-truth-aligned
training, as vocoders are trained; Shen et al. 2018).

Shapes: B samples, T frames, D latent width; k T frames of D' of the codec that a corpus is
encoded with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lhotse.cut import Cut
from torch import Tensor
from tqdm import tqdm

from sled.codec import Codec, TokenChannelCodec
from sled.data.dataset import SpeechDataset, collate, length_mask
from sled.data.draws import DrawsRecord, open_draws_folder, write_draws
from sled.data.latents import check_codec, load_cached
from sled.decoding import DecodingOptions
from sled.heads.draws import mean_draw
from sled.layout import Layout
from sled.model import SpeechLlamaForCausalLM
from sled.text import TextTokenizer
from sled.training.latents import speech_latents

CUTS_PER_FILE = 256
BATCH_SIZE = 8
# It follows the recording less the more of its own frames it hears: none of a sample's, or all.
OWN_SHARE = 1.0


def cache_draws(
    model: SpeechLlamaForCausalLM,
    codec: Codec,
    tokenizer: TextTokenizer,
    codes: Path,
    output: Path,
    options: DecodingOptions,
    hours: float,
    max_duration_s: float = 12.0,
    seed: int = 0,
) -> float:
    """Write what a model draws for the first hours of a corpus.

    Files that are there already are left as they are.

    Args:
        model: In evaluation mode, on the codec's device.
        codec: As the model sees it.
        tokenizer: The model's.
        codes: A cached corpus; aligned, if the model's latents tell the token being said.
        output: Folder for the draws.
        options: Guidance, temperature and number of draws.
        hours: Of speech.
        max_duration_s: Longer cuts are left out.
        seed: Of the head's noise, and of how much of its own a model hears.

    Returns:
        Hours of speech that there are draws for.

    Raises:
        ValueError: If the corpus is of another codec or holds nothing to draw for, or the folder
            is one of other draws.
    """
    check_codec(codes, codec)
    cuts = _first_hours(load_cached(codes), hours, max_duration_s)
    if not cuts:
        raise ValueError(f"{codes} holds nothing of up to {max_duration_s:g} s to draw for")
    groups = [cuts[at : at + CUTS_PER_FILE] for at in range(0, len(cuts), CUTS_PER_FILE)]
    record = DrawsRecord(
        model.digest(),
        codec.stored.digest(),
        codec.frames_per_latent,
        f"cfg {options.cfg:g}, temperature {options.temperature:g}, draws {options.draws}, "
        f"{hours:g} h of {codes.name}, up to {max_duration_s:g} s, seed {seed}",
        len(groups),
    )
    missing = open_draws_folder(output, record)
    dataset = SpeechDataset(tokenizer, codec, with_spoken_tokens=True)
    with tqdm(desc=f"draws {output.name}", total=len(cuts), unit="clip", disable=None) as progress:
        for number, group in enumerate(groups):
            if number in missing:
                # Each file for itself, so that it is the same whether or not others were there.
                torch.manual_seed(seed + number)
                write_draws(output, number, dict(_draw_each(model, codec, dataset, group, options)))
            progress.update(len(group))
    return sum(cut.duration for cut in cuts) / 3600


def _first_hours(cuts: Sequence[Cut], hours: float, max_duration_s: float) -> list[Cut]:
    chosen: list[Cut] = []
    seconds = 0.0
    for cut in cuts:
        if seconds >= 3600 * hours:
            break
        if cut.duration <= max_duration_s:
            chosen.append(cut)
            seconds += cut.duration
    return chosen


def _draw_each(
    model: SpeechLlamaForCausalLM,
    codec: Codec,
    dataset: SpeechDataset,
    cuts: Sequence[Cut],
    options: DecodingOptions,
) -> Iterator[tuple[str, Tensor]]:
    """Ids of cuts and their frames [k T, D']; every other batch is offline."""
    # Alike in length, to be of one batch.
    cuts = sorted(cuts, key=lambda cut: cut.duration)
    for number, at in enumerate(range(0, len(cuts), BATCH_SIZE)):
        batch = cuts[at : at + BATCH_SIZE]
        inputs = collate([dataset[cut] for cut in batch])
        layout = Layout() if number % 2 else model.layout
        latents = draw_along(model, codec, inputs, layout, options)
        frames = codec.to_stored(latents)
        for row, cut in enumerate(batch):
            count = int(inputs["num_frames"][row]) * codec.frames_per_latent
            yield cut.id, frames[row, :count]


@torch.no_grad()
def draw_along(
    model: SpeechLlamaForCausalLM,
    codec: Codec,
    inputs: dict[str, Any],
    layout: Layout,
    options: DecodingOptions,
    own_share: float = OWN_SHARE,
) -> Tensor:
    """The latents [B, T, D] that a model draws for the frames of recordings.

    Args:
        model: In evaluation mode.
        codec: As the model sees it.
        inputs: A batch as `collate` makes it.
        layout: How text and speech interleave.
        options: Guidance, temperature and number of draws.
        own_share: In each sample up to so many of the frames before are its own, too.
    """
    ids, text_mask = inputs["input_ids"].to(model.device), inputs["attention_mask"].to(model.device)
    latents = speech_latents(codec, inputs["speech"])
    if isinstance(codec, TokenChannelCodec):
        spoken = (inputs[key].to(codec.device) for key in ("spoken_ids", "spoken_tokens"))
        latents = codec.tell(latents, *spoken)
    mask = length_mask(inputs["num_frames"]).to(model.device)
    history = model.mix_in_own(ids, text_mask, latents, latents, mask, layout, own_share)
    is_stop = layout.arrange(text_mask.sum(1).tolist(), mask.sum(1).tolist()).is_stop
    states = model.predict(ids, text_mask, history, mask, layout)
    if options.guided:
        no_text = model.drop_text(ids, text_mask, torch.ones_like(mask[:, 0], dtype=torch.bool))
        unguided = model.predict(*no_text, history, mask, layout)
        states = unguided + options.cfg * (states - unguided)
    states = states[~is_stop.to(states.device)]
    noise = torch.randn(len(states), model.config.noise_channels).to(states)
    draws = torch.full((len(states),), options.draws, device=states.device)
    drawn = torch.zeros_like(latents)
    drawn[mask.bool()] = mean_draw(
        model.draw, states, options.temperature * noise, draws, options.draws
    ).to(drawn.dtype)
    return drawn
