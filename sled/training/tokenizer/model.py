"""The network that a speech tokenizer is trained in: encoder, quantizer, and a speller.

The speller has to spell the text from the rounded levels of the quantizer alone, so that the tokens
keep what was said. It is trained by connectionist temporal classification (Graves et al. 2006).
Rounding passes gradients through unchanged (Mentzer et al. 2023, section 3).

Shapes: B utterances, M mel bands, F frames of 10 ms, T tokens, H hidden width, C symbols and blank.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sled.codec.speech_tokens.network import (
    Layer,
    ScalarQuantizer,
    TokenizerNetwork,
    TokenizerSizes,
    rotation_table,
    valid_places,
)
from sled.data.tokens.spelling import BLANK
from sled.model.tokens.digits import FSQ_DIGITS

# Symbols that may be spelled for each token. One would be too few for fast speech.
SYMBOLS_PER_TOKEN = 2


@dataclass(frozen=True)
class Spelling:
    """What the network makes of a batch.

    Attributes:
        log_probs: Log-probabilities of symbols [B, T * SYMBOLS_PER_TOKEN, C].
        lengths: Places of each utterance in it [B].
        tokens: Tokens [B, T].
        num_tokens: Tokens of each utterance [B].
        spread: How far the numbers before the quantizer are from mean 0 and deviation 1, 0 for not
            at all.
    """

    log_probs: Tensor
    lengths: Tensor
    tokens: Tensor
    num_tokens: Tensor
    spread: Tensor

    def loss(self, symbols: list[Tensor]) -> Tensor:
        """Compute the CTC loss in nats per symbol.

        Args:
            symbols: The symbols of each text, int64 [L].
        """
        num_symbols = torch.tensor([len(one) for one in symbols])
        # On the CPU: other devices lack the loss, or compute its gradient nondeterministically.
        losses = F.ctc_loss(
            self.log_probs.transpose(0, 1).float().cpu(),
            torch.cat(symbols),
            self.lengths.cpu(),
            num_symbols,
            blank=BLANK,
            reduction="sum",
            zero_infinity=True,  # texts that are too long for their speech have no effect
        )
        return losses / num_symbols.sum().clamp(min=1)  # a batch may have no symbols


class SpellingTokenizer(nn.Module):
    """A speech tokenizer with a speller behind it.

    Args:
        sizes: Sizes of the tokenizer.
        num_layers: Layers of the speller.
        num_symbols: C.
    """

    def __init__(self, sizes: TokenizerSizes, num_layers: int, num_symbols: int) -> None:
        super().__init__()
        self.network = TokenizerNetwork(sizes)
        width = sizes.n_audio_state
        self.project_up = nn.Linear(FSQ_DIGITS, width)
        self.blocks = nn.ModuleList(Layer(sizes) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)
        self.spell = nn.Linear(width, SYMBOLS_PER_TOKEN * num_symbols)
        self.num_symbols = num_symbols

    def forward(self, mel: Tensor, num_frames: Tensor) -> Spelling:
        """Spell mel spectrograms [B, M, F] of so many frames each [B]."""
        states, num_tokens = self.network.encoder(mel, num_frames)
        quantizer = self.network.quantizer.codebook
        assert isinstance(quantizer, ScalarQuantizer)
        digits = quantizer.project_down(states).float()
        levels = quantizer.squash(digits)
        rounded = levels + (levels.round() - levels).detach()
        x = self.project_up(rounded)
        mask = valid_places(num_tokens, x.shape[1])
        rotation = rotation_table(x.shape[1], self.network.encoder.head_width, x)
        for block in self.blocks:
            x = block(x, mask, rotation)
        scores = self.spell(self.norm(x)).unflatten(-1, (SYMBOLS_PER_TOKEN, self.num_symbols))
        return Spelling(
            log_probs=scores.flatten(1, 2).log_softmax(-1),
            lengths=num_tokens * SYMBOLS_PER_TOKEN,
            tokens=quantizer(states.detach()),
            num_tokens=num_tokens,
            spread=_spread(digits[mask]),
        )


def _spread(digits: Tensor) -> Tensor:
    """How far digits [N, D] are from mean 0 and deviation 1.

    Digits that are all large round to one level and get no gradient: without this loss, training
    may end with a single token.
    """
    deviation = digits.var(0, unbiased=False).clamp_min(1e-8).sqrt()
    return (digits.mean(0).square() + deviation.log().square()).mean()
