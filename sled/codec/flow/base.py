"""What the flows have in common: tokens and a speaker to a mel spectrogram.

An encoder makes a first spectrogram `mu` of tokens. An estimator moves noise towards a mel
spectrogram, conditioned on `mu`, the speaker and the mel spectrogram of a prompt.

Shapes: B batch, T tokens, F frames, M mel bands, W width of a speaker vector.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self, override

from sled.codec.flow.estimator import Estimator, FlowInputs
from sled.codec.flow.matching import (
    FlowDraws,
    SolverOptions,
    guided,
    matching_loss,
    prior_loss,
    solve,
)
from sled.codec.flow.unet import whole_context
from sled.codec.memory import Memory

# As published: without conditions in a fifth of the samples, and without a prompt in a half.
DROP_RATE, NO_PROMPT_RATE = 0.2, 0.5
MAX_PROMPT_SHARE = 0.3
NOISE_FRAMES = 15_000


@dataclass(frozen=True, eq=False)
class FlowBatch:
    """Samples to learn from, with padding.

    Attributes:
        tokens: int64 [B, T, ...].
        num_tokens: int64 [B].
        mel: [B, M, F].
        num_frames: int64 [B].
        speaker: [B, W].
    """

    tokens: Tensor
    num_tokens: Tensor
    mel: Tensor
    num_frames: Tensor
    speaker: Tensor


@dataclass(frozen=True, eq=False)
class FlowPrompt:
    """Speech that is continued.

    Attributes:
        tokens: int64 [B, P, ...].
        mel: [B, M, G].
    """

    tokens: Tensor
    mel: Tensor


class Decoder(nn.Module):
    """Holds the estimator under its published name."""

    def __init__(self, estimator: Estimator) -> None:
        super().__init__()
        self.estimator = estimator


class SpeechFlow(nn.Module, ABC):
    """Makes mel spectrograms of speech tokens.

    Attributes:
        KIND: The published name of the class, `kind` in the configuration.
        token_shape: Shape of a token: () for an id.
        token_rate: Tokens per second.
        vocab_size: Number of token ids.
        num_mels: M.
        speaker_size: W.
    """

    KIND: ClassVar[str]
    token_shape: tuple[int, ...] = ()
    token_rate: float
    vocab_size: int
    num_mels: int
    speaker_size: int

    @classmethod
    @abstractmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> Self:
        """Make a flow with the sizes of a `config.json`.

        Raises:
            KeyError: If one is missing.
            TypeError: If one is of the wrong type.
            ValueError: If they do not fit.
        """

    @classmethod
    @abstractmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return what `from_dict` takes for published weights.

        Raises:
            KeyError: If they are not the weights of such a flow.
        """

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the content of `config.json`."""

    @abstractmethod
    def loss(self, batch: FlowBatch, generator: torch.Generator | None = None) -> Tensor:
        """The loss of a batch; random numbers come from torch's global generator by default."""

    def forward(
        self, batch: FlowBatch, loss: Callable[[SpeechFlow, FlowBatch], Tensor] | None = None
    ) -> Tensor:
        """The loss of a batch, for what wraps a module and trains it.

        Args:
            batch: B samples.
            loss: Computes it of the flow and the batch. None: `loss` of the flow.
        """
        return self.loss(batch) if loss is None else loss(self, batch)

    @property
    @abstractmethod
    def output_layer(self) -> nn.Conv1d | nn.Linear:
        """The last layer, which gives velocities of mel bands."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device


class WholeFlow(SpeechFlow):
    """A flow that needs all tokens of an utterance."""

    @abstractmethod
    def mel_of(
        self, tokens: Tensor, speaker: Tensor, prompt: FlowPrompt, options: SolverOptions
    ) -> Tensor:
        """The mel spectrogram [B, M, F] of tokens [B, T], without that of the prompt.

        Args:
            tokens: int64.
            speaker: [B, W].
            prompt: B prompts of equal length.
            options: How the flow is solved.
        """


class Flow(SpeechFlow):
    """A flow with an encoder. Attributes have the published tensor names."""

    decoder: Decoder
    encoder_proj: nn.Linear
    spk_embed_affine_layer: nn.Linear

    @property
    @override
    def output_layer(self) -> nn.Conv1d | nn.Linear:
        return self.estimator.output_layer

    @abstractmethod
    def batch_mu(self, batch: FlowBatch, streaming: bool) -> tuple[Tensor, Tensor]:
        """What the encoder makes of a batch.

        Returns:
            mu [B, M, F] and a mask [B, 1, F], 0 at padding.
        """

    @property
    def estimator(self) -> Estimator:
        """The estimator of velocities."""
        return self.decoder.estimator

    def estimator_chunk(self, streaming: bool) -> int:
        """Frames that see each other in the estimator. 0: all."""
        return 0

    def project_speaker(self, speaker: Tensor) -> Tensor:
        """Speaker vectors [B, W] to [B, M]."""
        projected: Tensor = self.spk_embed_affine_layer(F.normalize(speaker, dim=-1))
        return projected

    # Training.

    def batch_inputs(
        self, batch: FlowBatch, prompt_frames: Tensor, streaming: bool
    ) -> tuple[FlowInputs, Tensor]:
        """The inputs of the estimator for a batch, and its mask [B, 1, F].

        Args:
            batch: B samples.
            prompt_frames: int64 [B] how many frames of each are given as a prompt.
            streaming: Whether frames see only their chunk and earlier ones.
        """
        mu, mask = self.batch_mu(batch, streaming)
        frame = torch.arange(mu.shape[-1], device=mu.device)
        given = (frame < prompt_frames[:, None]).to(mu)[:, None]
        return FlowInputs(mu, self.project_speaker(batch.speaker), batch.mel * given), mask

    @override
    def loss(
        self,
        batch: FlowBatch,
        generator: torch.Generator | None = None,
        streaming: bool | None = None,
        prompt_frames: Tensor | None = None,
        draws: FlowDraws | None = None,
    ) -> Tensor:
        """The loss of a batch.

        Args:
            batch: B samples.
            generator: Draws the random numbers. None: torch's global one.
            streaming: None: drawn, half of the batches.
            prompt_frames: int64 [B]. None: drawn, up to 0.3 of the frames in half of the samples.
            draws: None: drawn.
        """
        if streaming is None:
            streaming = bool(torch.rand((), generator=generator, device=self.device) < 0.5)
        if prompt_frames is None:
            prompt_frames = self.draw_prompts(batch.num_frames, generator)
        inputs, mask = self.batch_inputs(batch, prompt_frames, streaming)
        if draws is None:
            draws = FlowDraws.draw(batch.mel, DROP_RATE, generator)
        return self.matching_loss(batch.mel, mask, inputs, draws, streaming)

    def prior_loss(self, batch: FlowBatch, streaming: bool) -> Tensor:
        """The loss of the encoder alone, as an estimate of the mel frames; see `prior_loss`."""
        mu, mask = self.batch_mu(batch, streaming)
        return prior_loss(mu, batch.mel, mask)

    @staticmethod
    def draw_prompts(num_frames: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw how many of the frames [B] are given as a prompt: none of a half of the samples."""
        device = num_frames.device
        share = torch.rand(len(num_frames), 2, generator=generator, device=device)
        longest = (MAX_PROMPT_SHARE * num_frames).long()
        drawn = (share[:, 0] * (longest + 1)).long().minimum(longest)
        return drawn * (share[:, 1] >= NO_PROMPT_RATE)

    def matching_loss(
        self, mel: Tensor, mask: Tensor, inputs: FlowInputs, draws: FlowDraws, streaming: bool
    ) -> Tensor:
        """The loss of the estimator alone; see `sled.codec.flow.matching`."""

        def estimate(x: Tensor, time: Tensor, kept: FlowInputs) -> Tensor:
            return self.estimate(x, time, kept, mask, streaming)

        return matching_loss(estimate, mel, mask, inputs, draws)

    # Whole mel spectrograms.

    def estimate(
        self, x: Tensor, time: Tensor, inputs: FlowInputs, mask: Tensor, streaming: bool = False
    ) -> Tensor:
        """The velocity [B, M, F] of whole signals; arguments as for `Estimator`."""
        context = whole_context(mask, self.estimator_chunk(streaming))
        velocity: Tensor = self.estimator(x, time, inputs, mask, context, Memory.of_whole())
        return velocity

    def solve(
        self,
        noise: Tensor,
        inputs: FlowInputs,
        options: SolverOptions,
        streaming: bool = False,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Mel spectrograms [B, M, F] of noise [B, M, F]; the mask [B, 1, F] is 0 at padding."""
        if mask is None:
            mask = torch.ones_like(noise[:, :1])
        if not options.guidance:
            return solve(
                lambda _, x, time: self.estimate(x, time, inputs, mask, streaming), noise, options
            )
        doubled, twice = inputs.with_empty(), mask.repeat_interleave(2, 0)

        def estimate(_: int, x: Tensor, time: Tensor) -> Tensor:
            return self.estimate(x, time, doubled, twice, streaming)

        return solve(guided(estimate, options), noise, options)

    def solver_inputs(self, mu: Tensor, speaker: Tensor, prompt_mel: Tensor) -> FlowInputs:
        """The inputs of the estimator: mu [B, M, F], speaker [B, W], prompt mel [B, M, G]."""
        padded = F.pad(prompt_mel, (0, mu.shape[-1] - prompt_mel.shape[-1]))
        return FlowInputs(mu, self.project_speaker(speaker), padded)


def no_prompt(flow: SpeechFlow, batch_size: int) -> FlowPrompt:
    """A prompt without anything."""
    tokens = torch.zeros(batch_size, 0, *flow.token_shape, dtype=torch.long, device=flow.device)
    return FlowPrompt(tokens, torch.zeros(batch_size, flow.num_mels, 0, device=flow.device))


@cache
def fixed_noise(num_mels: int) -> Tensor:
    """The noise [M, N] that published streaming begins with, always the same."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, num_mels, NOISE_FRAMES, generator=generator)[0]


def noise_at(start: Tensor, frames: int, noise: Tensor) -> Tensor:
    """Noise [B, M, F] from the frames `start` [B] on, of noise [M, N], after which it begins again.

    With the fixed noise, that is after 5 minutes of CosyVoice2.
    """
    index = (start.cpu()[:, None] + torch.arange(frames)) % noise.shape[-1]
    return noise[:, index].transpose(0, 1).to(start.device)


def whole_noise(num_mels: int, frames: int) -> Tensor:
    """The noise [1, M, F] that whole utterances begin with, always the same."""
    return noise_at(torch.zeros(1, dtype=torch.long), frames, fixed_noise(num_mels))


def length_mask(lengths: Tensor, longest: int) -> Tensor:
    """Whether positions [B, longest] are within lengths [B]."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]
