"""How well a head's draws match recordings that it was not trained on, whatever its training loss.

Of each frame, given the true frames before it, several draws s_1..s_M are compared with the true
unit t:

    score   the energy score (`sled.model.heads.scores.energy`): the lower, the closer the
            distributions. It is proper: no other distribution has a lower mean than the true one.
    spread  the mean of |s_i - s_j| over the mean of |s_i - t|: 1 if draws differ from each other as
            much as from the truth, 0 if they are all the same.

Words alone do not tell a head whose draws have collapsed: a mean voice can be understood.

Shapes: M draws, F frames, D latent width.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from sled.codec import Codec
from sled.data.cache.codes import check_codec
from sled.data.dataset import SpeechDataset, collate, length_mask, open_corpus
from sled.loading import check_parts
from sled.model.batch import SpeechBatch
from sled.model.heads.scores import energy_score
from sled.model.lm import SpeechLM
from sled.text.tokenizer import TextTokenizer
from sled.training.units import batch_units

BATCH_SIZE = 8


@dataclass(frozen=True)
class HeldOut:
    """What was found, over all frames.

    Attributes:
        score: The mean energy score.
        spread: Distance of draws from each other, relative to that from the truth.
        num_frames: F.
    """

    score: float
    spread: float
    num_frames: int


@torch.no_grad()
def judge_draws(
    model: SpeechLM,
    tokenizer: TextTokenizer,
    codec: Codec,
    codes: Path,
    *,
    draws: int = 8,
    max_clips: int = 200,
    seed: int = 0,
) -> HeldOut:
    """Compare the draws of a model with cached recordings, in its own layout.

    Guidance and temperature have no part in it: the head is judged as it was trained.

    Args:
        model: The model in evaluation mode; its units are vectors.
        tokenizer: Its tokenizer.
        codec: Its codec, with its transforms.
        codes: A cached corpus; with times of words, if the codec has a token channel.
        draws: M, at least 2.
        max_clips: How many recordings are taken, the first ones.
        seed: Seed of the noise.

    Raises:
        ValueError: If the parts do not fit together, or there is nothing to compare.
    """
    if draws < 2 or max_clips < 1:
        raise ValueError(f"draws={draws}, max_clips={max_clips}: at least 2 and 1 are needed")
    check_parts(model.config, tokenizer, codec)
    check_codec(codes, codec)
    if model.ids is not None:
        raise ValueError("the units of this model are ids, which have no distance")
    clips = [cut for _, cut in zip(range(max_clips), open_corpus([codes]), strict=False)]
    conditions = model.config.architecture.conditions
    dataset = SpeechDataset(tokenizer, codec, with_spoken_tokens=True, conditions=conditions)
    generator = torch.Generator().manual_seed(seed)
    attraction, repulsion, num_frames = 0.0, 0.0, 0
    for at in range(0, len(clips), BATCH_SIZE):
        inputs = collate([dataset[cut] for cut in clips[at : at + BATCH_SIZE]])
        units, mask = batch_units(codec, inputs), length_mask(inputs["num_frames"])
        given = inputs.get("conditions", {})
        states, is_stop = model.predict(
            SpeechBatch(
                inputs["input_ids"], inputs["attention_mask"], units, mask, model.layout, given
            )
        )
        states, target = states[~is_stop], units[mask.bool()]
        noise = torch.randn(draws, len(target), model.noise_width, generator=generator)
        score = energy_score(model.draw(states, noise), target)
        attraction += float(score.attraction.double().sum())
        repulsion += float(score.repulsion.double().sum())
        num_frames += len(target)
    if not num_frames:
        raise ValueError(f"{codes} has no frames")
    return HeldOut(
        score=(attraction - repulsion) / num_frames,
        spread=2 * repulsion / attraction,  # the attraction is twice the distance from the truth
        num_frames=num_frames,
    )
