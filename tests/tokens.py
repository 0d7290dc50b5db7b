"""Tiny language models of speech tokens, and slow definitions of their published decoding.

Shapes: L text tokens, T speech tokens, H hidden width, S scored ids.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from sled.model.ids import Sampling
from sled.model.sampling import IdDraws, draw_ids
from sled.model.tokens.cosyvoice import CosyVoiceLM, CosyVoiceSizes
from sled.model.tokens.cosyvoice2 import CosyVoice2LM, CosyVoice2Sizes
from sled.model.tokens.lm import TokenLM
from sled.model.tokens.relative_attention import StackSizes
from sled.model.tokens.simpletts import SimpleTTSLM, SimpleTTSSizes
from sled.text.tokenizer import TextTokenizer
from tests.debug import GOLDENS, debug_tokenizer

RECORDED = GOLDENS / "tokens"
# A text token of these models has up to 300, as the tokenizer for tests.
VOCABULARY = 300
# As many ids as the codec of `tests.ids`.
SPEECH = 24


def with_random_weights(model: TokenLM, seed: int, spread: float = 1.0) -> TokenLM:
    """Give a model random weights; the spread of its scores decides how certain it is."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.ndim == 2:
                weight.copy_(noise if "embed" in name else noise / weight.shape[1] ** 0.5)
            else:
                weight.copy_(0.1 * noise + ("norm" in name and "weight" in name))
            if "llm_decoder" in name or "lm_head" in name:
                weight *= spread
    return model.eval()


@cache
def debug_cosyvoice2(seed: int = 0, n: int = 3, m: int = 4) -> CosyVoice2LM:
    """Fits `debug_token_tokenizer` and the codec of `tests.ids`."""
    sizes = CosyVoice2Sizes(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        speech_token_size=SPEECH,
        mix_ratio=(n, m),
        frame_rate=75.0,
    )
    model = with_random_weights(CosyVoice2LM(sizes), seed)
    assert isinstance(model, CosyVoice2LM)
    return model


@cache
def guided_cosyvoice2() -> CosyVoice2LM:
    """One that also learned without texts, and speaks under guidance."""
    model = deepcopy(debug_cosyvoice2())
    model.config.objective.training_cfg, model.config.speaking.cfg = 0.1, 2.0
    return model


@cache
def debug_cosyvoice(seed: int = 0) -> CosyVoiceLM:
    """As `debug_cosyvoice2`."""

    def stack(input_size: int) -> StackSizes:
        return StackSizes(
            input_size=input_size,
            output_size=32,
            attention_heads=4,
            linear_units=48,
            num_blocks=2,
        )

    sizes = CosyVoiceSizes(
        text_token_size=VOCABULARY,
        speech_token_size=SPEECH,
        spk_embed_dim=6,
        text_encoder=stack(20),
        llm=stack(28),
        frame_rate=75.0,
    )
    model = with_random_weights(CosyVoiceLM(sizes), seed)
    assert isinstance(model, CosyVoiceLM)
    return model


@cache
def debug_simpletts(seed: int = 0) -> SimpleTTSLM:
    """As `debug_cosyvoice2`."""
    sizes = SimpleTTSSizes(
        text_vocab=VOCABULARY,
        codes=SPEECH,
        vocab_size=VOCABULARY + SPEECH + 5,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        spk_embed_dim=6,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=24,
        shared_expert_intermediate_size=40,
        frame_rate=75.0,
    )
    model = with_random_weights(SimpleTTSLM(sizes), seed)
    assert isinstance(model, SimpleTTSLM)
    return model


@cache
def debug_ended_simpletts() -> SimpleTTSLM:
    """As `debug_simpletts`, for texts between `<s>` and `</s>`."""
    sizes = replace(debug_simpletts().sizes, text_begin_id=0, text_end_id=2)
    model = with_random_weights(SimpleTTSLM(sizes), 1)
    assert isinstance(model, SimpleTTSLM)
    return model


def debug_token_tokenizer(model: TokenLM) -> TextTokenizer:
    """The tokenizer for tests, in the form that speech-token models read."""
    sizes = model.config.architecture
    return TextTokenizer(
        debug_tokenizer()._tokenizer.model,
        bos_id=sizes.bos_token_id,
        eos_id=sizes.eos_token_id,
        text_end_id=model.config.text_end_id,
    )


def text_ends(model: TokenLM) -> tuple[list[int], list[int]]:
    """What every text of a model begins and ends with, before the token that begins speech."""
    ends = (model.config.flat.get(name) for name in ("text_begin_id", "text_end_id"))
    before, after = ([] if one is None else [one] for one in ends)
    return before, after


# The published algorithms, without a cache and without the decoding loop.


class SlowSampler:
    """Draws ids one by one, as published."""

    def __init__(self, seed: int, sampling: Sampling, temperature: float) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.sampling, self.temperature = sampling, temperature
        self.past: list[int] = []

    def __call__(
        self, scores: Tensor, forbidden: Sequence[int] = (), useless: Sequence[int] = ()
    ) -> int:
        draws = IdDraws([self.sampling], [self.generator], [self.past], [forbidden], [useless])
        drawn = int(draw_ids(scores[None], [self.temperature], draws))
        self.past.append(drawn)
        return drawn


Scores = Callable[[list[Tensor]], Tensor]


def scores_of(model: TokenLM) -> Scores:
    """A function from all inputs [E] so far to the scores [S] of the next id."""

    def scores(inputs: list[Tensor]) -> Tensor:
        sequence = torch.stack(inputs)
        hidden = model.read(sequence, model.pack([len(sequence)], sequence))
        return model.score_ids(hidden[-1])

    return scores


@torch.no_grad()
def speak_whole(
    model: TokenLM,
    text: Sequence[int],
    sampler: SlowSampler,
    prompt_text: Sequence[int] = (),
    prompt_speech: Sequence[int] = (),
    conditions: dict[str, Any] | None = None,
) -> list[int]:
    """All text, then speech: 2 to 20 ids for each token of the text, the prompt's not counted."""
    speech, begin = model.ids.speech, model.config.architecture.eos_token_id
    before, after = text_ends(model)
    tokens = torch.tensor([*before, *prompt_text, *text, *after, begin])
    inputs = [*model.embed_conditions(conditions or {}), *model.embed_text(tokens)]
    inputs += model.embed_units(torch.tensor(prompt_speech, dtype=torch.long))
    spoken: list[int] = []
    while len(spoken) < 20 * len(text):
        forbidden = [speech] if len(spoken) < 2 * len(text) else []
        drawn = sampler(scores_of(model)(inputs), forbidden)
        if drawn >= speech:
            break
        spoken.append(drawn)
        inputs += model.embed_units(torch.tensor([drawn]))
    return spoken


@torch.no_grad()
def speak_streaming(
    model: CosyVoice2LM,
    text: Sequence[int],
    sampler: SlowSampler,
    prompt_text: Sequence[int] = (),
    prompt_speech: Sequence[int] = (),
    cfg: float = 1.0,
) -> list[int]:
    """Text that comes token by token: n tokens, speech until a fill, and so on.

    Under guidance, which is not published, scores are extrapolated from those of the same speech
    without a text, but a fill is as likely as without guidance.
    """
    n, m = model.sizes.mix_ratio
    speech, begin = model.ids.speech, model.config.architecture.eos_token_id
    end, unused, fill = speech, speech + 1, speech + 2

    def embedded(tokens: Sequence[int]) -> list[Tensor]:
        return list(model.embed_text(torch.tensor(tokens, dtype=torch.long)))

    def scores(inputs: list[Tensor]) -> Tensor:
        plain = scores_of(model)(inputs)
        if cfg == 1:
            return plain
        free = [*model.embed_conditions({}), *embedded([begin])]
        read = prompt_speech[: len(prompt_speech) - len(prompt)]
        free += model.embed_units(torch.tensor([*read, *spoken], dtype=torch.long))
        p = (cfg * plain + (1 - cfg) * scores_of(model)(free)).softmax(-1)
        p_fill = plain.softmax(-1)[fill]
        p *= (1 - p_fill) / (p.sum() - p[fill])
        p[fill] = p_fill
        return p.log()

    inputs = list(model.embed_conditions({}))
    waiting, prompt = list(prompt_text), list(prompt_speech)
    spoken: list[int] = []
    in_chunk = 0
    for token in text:
        waiting.append(token)
        while len(waiting) >= n:
            inputs += embedded(waiting[:n])
            del waiting[:n]
            read = prompt[:m]
            del prompt[:m]
            inputs += model.embed_units(torch.tensor(read, dtype=torch.long))
            in_chunk = len(read)
            while in_chunk < m:
                drawn = sampler(scores(inputs), [end], [unused])
                if drawn == fill:
                    break
                spoken.append(drawn)
                inputs += model.embed_units(torch.tensor([drawn]))
                in_chunk += 1
            else:
                if len(read) < m:  # a chunk of the prompt alone needs no fill
                    sampler.past.append(fill)
    assert not prompt, "the prompt has more speech than its text takes"
    inputs += embedded([*waiting, begin])
    while len(spoken) < 20 * len(text):
        drawn = sampler(scores(inputs), [], [unused, fill])
        if drawn == end:
            break
        spoken.append(drawn)
        inputs += model.embed_units(torch.tensor([drawn]))
    return spoken
