"""Slow reference implementations: loops without cache, batch or closed form.

Shapes as in the package: L text tokens, T frames, P positions, D latent width, H hidden width,
N noise width.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sled.model.lm import SpeechLM


def interleave(
    n: int | None, m: int | None, num_tokens: int, num_frames: int
) -> list[tuple[str, int]]:
    """The order of inputs as ("text", j) and ("speech", t): the published definition, as a loop.

    n tokens, m frames, n tokens, m frames, ... for as long as both a full text chunk and a full
    speech chunk remain; then the remaining text up to n tokens, then all remaining speech, then
    any text still left. Without n and m: all text, then all speech.
    """
    text = [("text", j) for j in range(num_tokens)]
    speech = [("speech", t) for t in range(num_frames)]
    if n is None or m is None:
        return text + speech
    order: list[tuple[str, int]] = []
    while len(text) >= n and len(speech) >= m:
        order += text[:n] + speech[:m]
        text, speech = text[n:], speech[m:]
    return order + text[:n] + speech + text[n:]


def alone(model: SpeechLM, sequence: Tensor) -> Tensor:
    """Hidden states [P, H] of one whole sequence of input embeddings [P, H], without a cache."""
    return model.model(sequence, model.model.pack([len(sequence)], sequence))


def full_pass(
    model: SpeechLM,
    token_ids: Sequence[int],
    units: Tensor,
    conditions: Mapping[str, Tensor] | None = None,
) -> tuple[Tensor, list[tuple[str, int]]]:
    """One sample through the model, input by input in the order of the layout, without a cache.

    Args:
        model: In either layout.
        token_ids: L tokens.
        units: [T, D], or [T] for ids.
        conditions: A vector [width] for each of the model's.

    Returns:
        Hidden states [P, H], and what stands at each of the P positions.
    """
    sizes = model.config.architecture
    embeddings = []
    order: list[tuple[str, int]] = []
    for index, name in enumerate(sizes.conditions):  # before everything else
        vector = (conditions or {})[name]
        embeddings.append(model.z_proj_ln(model.condition_proj[name](vector)))
        order.append(("condition", index))
    for kind, i in interleave(sizes.stream_n, sizes.stream_m, len(token_ids), len(units)):
        is_text = kind == "text"
        embeddings.append(
            model.embed_text(torch.tensor(token_ids[i])) if is_text else model.embed_units(units[i])
        )
        order.append((kind, i))
    return alone(model, torch.stack(embeddings)), order


def noise_of(seed: int, num_frames: int) -> Tensor:
    """The noise [T, N] that a row with this seed is drawn from."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randn(8, generator=generator) for _ in range(num_frames)])


@torch.no_grad()
def speak_slowly(
    model: SpeechLM,
    text: Sequence[int],
    noise: Tensor,
    cfg: float,
    prompt: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One row by the definition: no cache, no batch, two separate passes for guidance.

    Returns:
        The frames [T, D], one for each of `noise` [T, N], and the stop probability before each.
    """
    start = 0 if prompt is None else len(prompt)
    latents = torch.zeros(start + len(noise), 32)
    if prompt is not None:
        latents[:start] = prompt
    stop = []
    for t, one in enumerate(noise, start):
        states = []
        for context in (text, [model.config.architecture.eos_token_id]):
            # Frames from t on are still zeros; the state before t cannot have seen them.
            hidden, order = full_pass(model, context, latents)
            states.append(hidden[order.index(("speech", t)) - 1])
        with_text, text_free = states
        latents[t] = model.scoreloss.net(one, text_free + cfg * (with_text - text_free))
        stop.append(torch.sigmoid(model.eos_head(with_text)).squeeze())
    return latents[start:], torch.stack(stop)
