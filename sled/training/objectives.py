"""Corruption of what a model reads in training: own frames, dropped texts, noise.

Teacher forcing alone shows a model only perfect frames and complete texts. Each function here
changes the inputs of a batch and leaves its targets as they are.

Shapes: B samples, L text tokens, T frames, F frames of a whole batch, N noise width; `*unit` is
the shape of a unit.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sled.model.batch import SpeechBatch
from sled.model.heads.draws import mean_draw
from sled.model.lm import SpeechLM

# Passes of scheduled sampling: from the second on, drawn frames follow drawn ones, as in decoding.
SAMPLING_PASSES = 2
# Draws that each of these frames is the mean of, if the head averages: most decoding uses several.
SAMPLING_DRAWS = 2


def corrupt_inputs(model: SpeechLM, batch: SpeechBatch, units: Tensor) -> SpeechBatch:
    """Apply all corruptions that a model's training objective asks for.

    Args:
        model: Left as it is. In evaluation mode, nothing is corrupted.
        batch: What the model reads.
        units: [B, T, *unit] the true units.
    """
    if not model.training:
        return batch
    objective = model.config.objective
    if objective.scheduled_sampling > 0:
        batch = sample_units(model, batch, units, objective.scheduled_sampling)
    if objective.training_cfg > 0:
        size, device = len(batch.input_ids), batch.input_ids.device
        dropped = torch.rand(size, device=device) < objective.training_cfg
        batch = drop_text(batch, dropped, model.config.architecture.eos_token_id)
    if objective.history_noise > 0:
        batch = add_noise(batch, objective.history_noise)
    return batch


def drop_text(batch: SpeechBatch, dropped: Tensor, eos_token_id: int) -> SpeechBatch:
    """Replace the texts where `dropped` [B] is True by the single token `</s>`.

    So the model learns the text-free branch of classifier-free guidance (Ho and Salimans 2022).
    """
    ids, mask = batch.input_ids, batch.attention_mask
    is_first = torch.arange(ids.shape[1], device=ids.device) == 0
    return replace(
        batch,
        input_ids=ids.masked_fill(dropped[:, None] & is_first, eos_token_id),
        attention_mask=mask.masked_fill(dropped[:, None] & ~is_first, 0),
    )


@torch.no_grad()
def sample_units(model: SpeechLM, batch: SpeechBatch, units: Tensor, share: float) -> SpeechBatch:
    """Replace some of the units that the model reads by its own draws.

    Scheduled sampling (Bengio et al. 2015) of all frames in parallel (Mihaylova and Martins 2019).
    Each sample has a random share of drawn frames, up to `share`, and a random temperature, up to
    1, because speech is often decoded at a low one. Given frames, and frames whose input differs
    from the true unit, are kept, as they stand for a prompt.

    Args:
        model: Draws the units.
        batch: What it reads.
        units: [B, T, *unit] the true units.
        share: From 0, none, to 1, all.
    """
    history, real = batch.units, batch.frame_mask.bool()
    shares = share * torch.rand(len(real), 1, device=real.device)
    chosen = (torch.rand(*real.shape, device=real.device) < shares) & real
    chosen &= batch.learned
    chosen &= (history == units).reshape(*real.shape, -1).all(-1)
    chosen = chosen.reshape(*real.shape, *(1 for _ in model.unit_shape))
    num_frames = int(real.sum())
    noise = torch.randn(num_frames, model.noise_width, device=history.device)
    temperature = torch.rand(len(real), 1, device=real.device).expand_as(real)
    noise = temperature[real][:, None] * noise
    mixed, drawn = batch, torch.zeros_like(history)
    for _ in range(SAMPLING_PASSES):
        states, is_stop = model.predict(mixed)
        own = draw_frames(model, states[~is_stop], noise)
        drawn[real] = own.to(drawn.dtype)
        mixed = replace(batch, units=torch.where(chosen, drawn, history))
    # Autocast caches the weights that it has cast, and these would have no gradient.
    torch.clear_autocast_cache()
    return mixed


def draw_frames(model: SpeechLM, states: Tensor, noise: Tensor) -> Tensor:
    """Draw the units [F, *unit] after states [F, H] from noise [F, N], as decoding often does."""
    most = SAMPLING_DRAWS if model.averages else 1
    draws = torch.full((len(states),), most, device=states.device)
    return mean_draw(model.draw, states, noise, draws, most)


def add_noise(batch: SpeechBatch, most: float) -> SpeechBatch:
    """Add noise to the learned latents that the model reads, of a random level for each sample.

    Args:
        batch: With units that are latent vectors.
        most: The highest level, in units of each sample's root mean square.

    Raises:
        ValueError: If the units are not vectors.
    """
    latents, mask = batch.units, batch.frame_mask
    if not latents.is_floating_point():
        raise ValueError("history_noise needs latent vectors, and these units are ids: set it to 0")
    # The scale is the sample's own, so that its loss does not depend on the other samples.
    square = (latents.square() * mask[..., None]).sum((1, 2))
    scale = (square / (mask.sum(1) * latents.shape[-1])).sqrt()[:, None, None]
    level = most * torch.rand(len(latents), 1, 1, device=latents.device)
    noise = level * scale * torch.randn_like(latents)
    return replace(batch, units=latents + noise * batch.learned[..., None])
