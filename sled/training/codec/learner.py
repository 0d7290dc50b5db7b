"""One training step of a codec of any family: networks, discriminator, losses and optimisers."""

from __future__ import annotations

import copy
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from sled.codec.folder import CodecModel
from sled.training.codec.config import CodecTrainingConfig
from sled.training.codec.data import Segments
from sled.training.codec.discriminator import MultiDiscriminator
from sled.training.codec.evaluation import Reconstruction
from sled.training.codec.losses import (
    MultiResolutionSTFTDistance,
    MultiScaleMelDistance,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)

logger = logging.getLogger(__name__)

BETAS = (0.8, 0.99)
SCALE_BATCHES = 32

Model = TypeVar("Model", bound=CodecModel)


class CodecLearner(ABC, Generic[Model]):
    """Codec, discriminator and their optimisers.

    Args:
        config: settings of the run.
        draw_batch: gives training segments on the configured device.
        generator: source of noise and of choices.

    Attributes:
        model: the networks.
        average: moving average of a part of them.
        step: optimiser steps done.
        num_codebooks: codebooks in use; 0 while there are none.
    """

    num_codebooks: int = 0

    def __init__(
        self,
        config: CodecTrainingConfig,
        draw_batch: Callable[[], Segments],
        generator: torch.Generator,
    ) -> None:
        self.config = config
        # Networks that need it work on waveforms of unit RMS, the mel distance on the true level.
        self.waveform_scale = 10 ** (-config.loudness_db / 20)
        self.draw_batch = draw_batch
        self.generator = generator
        self.device = torch.device(config.device)
        self.step = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model: Model = self._make_model()
            self.model.to(self.device)
            self.discriminator = MultiDiscriminator(
                config.discriminator_filters, config.period_filters
            )
            self.discriminator.to(self.device)
        self.average = copy.deepcopy(self._averaged_part(self.model)).requires_grad_(False)
        self.mel_distance = MultiScaleMelDistance(self.model.config.sampling_rate).to(self.device)
        self.stft_distance = MultiResolutionSTFTDistance().to(self.device)
        rates = config.learning_rate, config.discriminator_learning_rate
        self.optimizer, self.discriminator_optimizer = (
            torch.optim.AdamW(part.parameters(), lr=rate, betas=BETAS, weight_decay=0.0, fused=True)
            for part, rate in zip((self._trained(), self.discriminator), rates, strict=True)
        )

    @property
    @abstractmethod
    def frozen(self) -> bool:
        """Whether latents do not change any more, so that only the decoder is trained."""

    @property
    @abstractmethod
    def exportable(self) -> bool:
        """Whether `finished_model` can be called, and does not affect the rest of the run."""

    @property
    def latent_rms(self) -> float:
        """Root mean square of the decoder's input, roughly."""
        return 1.0

    @abstractmethod
    def averaged_model(self) -> Model:
        """The codec with averaged weights, in evaluation mode on the CPU."""

    @abstractmethod
    def finished_model(self) -> Model:
        """The codec as it is exported.

        Raises:
            ValueError: if the run has not come so far.
        """

    @abstractmethod
    def reconstruct(self, model: Model, waveform: Tensor) -> Reconstruction:
        """What a model of this run makes of a clip [S] on its device."""

    @abstractmethod
    def decode(self, model: Model, units: Tensor) -> Tensor:
        """Waveform [S] of units [T, D]."""

    @abstractmethod
    def _make_model(self) -> Model:
        """The codec before its first step."""

    def _trained(self) -> nn.Module:
        """What the codec's optimiser trains: the codec, and heads that only training needs."""
        return self.model

    @abstractmethod
    def _averaged_part(self, model: Model) -> nn.Module:
        """The part of a codec that is averaged."""

    @abstractmethod
    def _enter_stage(self, progress: float) -> None:
        """Prepare the networks when a new stage begins."""

    @abstractmethod
    def _latents(self, segments: Segments, losses: dict[str, Tensor]) -> Tensor:
        """The decoder's input [B, D, T]; losses that concern the latents are added to `losses`."""

    @abstractmethod
    def _decode(
        self, latents: Tensor, segments: Segments, losses: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """Waveforms [B, S] at their true level, of the decoder's input.

        They may be shorter than the segments, at the end. A decoder that draws noise also returns
        another draw, without gradients. Losses that only it has are added to `losses`.
        """

    @abstractmethod
    def _rates(self, progress: float) -> tuple[float, float]:
        """Learning rates of codec and discriminator, before warm-up."""

    def train_step(self, progress: float) -> dict[str, float]:
        """Advance by one optimiser step.

        Args:
            progress: fraction of the run that is done; it decides the stage and the rates.

        Returns:
            Named losses of the step, weighted as in their sum; "mel" unweighted.
        """
        self._enter_stage(progress)
        adversarial = progress >= self.config.adversarial_at
        self._set_learning_rates(progress)

        segments = self.draw_batch()
        losses: dict[str, Tensor] = {}
        with torch.set_grad_enabled(not self.frozen):
            latents = self._latents(segments, losses)
        fake, other = self._decode(latents, segments, losses)
        real = segments.waveforms.squeeze(1)[:, : fake.shape[1]]
        losses["mel"] = self.config.mel_weight * self.mel_distance(fake, real, other)
        if self.config.stft_weight:
            losses["stft"] = self.config.stft_weight * self.stft_distance(fake, real)
        if self.config.waveform_weight:
            error = (fake - real).abs().mean() * self.waveform_scale
            losses["waveform"] = self.config.waveform_weight * error
        if adversarial:
            losses |= self._judge(real * self.waveform_scale, fake * self.waveform_scale)

        # The codec does not minimize the discriminator's own loss.
        verdict = losses.pop("discriminator", None)
        total = torch.stack(list(losses.values())).sum()
        self._update(self._trained(), self.optimizer, total, keep_graph=verdict is not None)
        if verdict is not None:
            self._update(self.discriminator, self.discriminator_optimizer, verdict)
            losses["discriminator"] = verdict
        self._update_average()
        self.step += 1
        values = {name: float(value.detach()) for name, value in losses.items()}
        return values | {"mel": values["mel"] / self.config.mel_weight}

    def state_dict(self) -> dict[str, Any]:
        """The state that a continued run needs, as tensors and plain values."""
        return {
            "step": self.step,
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the result of `state_dict`."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.step = state["step"]

    def _parts(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "average": self.average,
            "discriminator": self.discriminator,
            "optimizer": self.optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }

    def _set_learning_rates(self, progress: float) -> None:
        warmup = min(1.0, (self.step + 1) / self.config.warmup_steps)
        optimizers = (self.optimizer, self.discriminator_optimizer)
        for optimizer, rate in zip(optimizers, self._rates(progress), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * warmup

    def _autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bf16)

    def _with_noise(self, latents: Tensor) -> Tensor:
        """Latents [B, D, T] with noise, of another strength in each segment."""
        strength = torch.rand(len(latents), 1, 1, generator=self.generator)
        noise = torch.randn(latents.shape, generator=self.generator) * strength
        return latents + self.config.latent_noise * self.latent_rms * noise.to(self.device)

    def _with_predictions(self, latents: Tensor, predictions: Tensor | None) -> Tensor:
        """Latents [B, D, T], in some segments replaced by the predictions of a model."""
        if predictions is None:
            return latents
        chance = torch.rand(len(latents), 1, 1, generator=self.generator).to(self.device)
        return torch.where(chance < self.config.predictions_share, predictions, latents)

    def _judge(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Losses from the discriminator's outputs for waveforms [B, S], all from one pass."""
        with self._autocast():
            judged_real, judged_fake = self.discriminator(real), self.discriminator(fake)
        return {
            "adversarial": self.config.adversarial_weight * adversarial_loss(judged_fake),
            "feature": self.config.feature_weight * feature_loss(judged_real, judged_fake),
            "discriminator": discriminator_loss(judged_real, judged_fake),
        }

    def _update(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: Tensor,
        *,
        keep_graph: bool = False,
    ) -> None:
        optimizer.zero_grad(set_to_none=True)
        # Gradients of this model only: the loss may depend on the other one as well.
        torch.autograd.backward(loss, inputs=list(model.parameters()), retain_graph=keep_graph)
        norm = nn.utils.clip_grad_norm_(model.parameters(), self.config.max_grad_norm)
        # A step of nan or inf would destroy the weights; skipping one batch costs nothing.
        if torch.isfinite(norm):
            optimizer.step()
        else:
            logger.warning("step %d skipped: gradient norm %s", self.step, float(norm))

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average decays faster, so that the random start does not remain in it.
        decay = min(self.config.decoder_average, (1 + self.step) / (10 + self.step))
        averaged: list[Tensor] = list(self.average.parameters())
        current: list[Tensor] = list(self._averaged_part(self.model).parameters())
        torch._foreach_lerp_(averaged, current, 1 - decay)


def cosine(progress: float) -> float:
    """Falls from 1 at progress 0 to 0 at progress 1."""
    return 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
