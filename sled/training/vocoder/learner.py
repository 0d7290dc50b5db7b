"""One training step of a vocoder: the networks, their losses and their optimisers.

Shapes: B batch, M mel bands, F frames, S samples, K harmonics.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sled.codec.features import MEL_22K, MEL_24K, log_mel
from sled.codec.memory import Memory
from sled.codec.vocoder.base import Vocoder
from sled.codec.vocoder.hift import HiFT
from sled.training.codec.losses import Judgements, MultiScaleMelDistance
from sled.training.flow.batch import VocoderBatch, vocoder_batch
from sled.training.optimizer import Adam
from sled.training.vocoder.discriminator import VocoderDiscriminator
from sled.training.vocoder.losses import (
    adversarial_loss,
    discriminator_loss,
    feature_loss,
    relativistic_loss,
)
from sled.training.vocoder.processes import ALONE, Processes

logger = logging.getLogger(__name__)

BETAS = (0.8, 0.99)


@dataclass(frozen=True, kw_only=True)
class VocoderTraining:
    """How a vocoder is trained; defaults as published.

    Attributes:
        learning_rate: Of the vocoder, constant.
        discriminator_learning_rate: Of the discriminator, constant. None: that of the vocoder.
        optimizer: Of the vocoder.
        discriminator_optimizer: Of the discriminator.
        feature_weight: Weight of the difference of features.
        mel_weight: Weight of the difference of mel spectrograms.
        relativistic_weight: Weight of the relativistic loss.
        max_grad_norm: Larger gradients are scaled down.
        adversarial_from: The step from which the discriminator judges; before it, only the
            differences of mel spectrograms and of frequencies count.
        multi_scale: Whether mel spectrograms are compared with windows from 64 to 2,048 samples,
            instead of the published one. A vocoder without a source of its own learns faster so.
        bf16: Whether discriminators compute in bfloat16.
    """

    learning_rate: float = 2e-4
    discriminator_learning_rate: float | None = None
    optimizer: Adam = Adam(betas=BETAS)
    discriminator_optimizer: Adam = Adam(betas=BETAS)
    feature_weight: float = 2.0
    mel_weight: float = 45.0
    relativistic_weight: float = 1.0
    max_grad_norm: float = 5.0
    adversarial_from: int = 0
    multi_scale: bool = False
    bf16: bool = False


class VocoderLearner:
    """Vocoder and discriminator, which are trained in turns.

    Args:
        vocoder: The vocoder, not prepared for inference.
        discriminator: Judges its speech.
        training: How they are trained.
        generator: Draws phases and noise.
        processes: Those that train both together. In each step every one has a batch.
    """

    def __init__(
        self,
        vocoder: Vocoder,
        discriminator: VocoderDiscriminator,
        training: VocoderTraining,
        generator: torch.Generator,
        processes: Processes = ALONE,
    ) -> None:
        self.processes = processes
        self.vocoder, self.discriminator = vocoder.train(), discriminator.train()
        self.training, self.generator, self.step = training, generator, 0
        self.mel = (MEL_22K if vocoder.hop_length == MEL_22K.hop_length else MEL_24K).for_loss
        self._scales: MultiScaleMelDistance | None = None
        if training.multi_scale:
            self._scales = MultiScaleMelDistance(vocoder.sizes.sampling_rate).to(self.device)
        self.optimizer = training.optimizer.make(vocoder.parameters(), training.learning_rate)
        own = training.discriminator_learning_rate
        self.discriminator_optimizer = training.discriminator_optimizer.make(
            discriminator.parameters(), training.learning_rate if own is None else own
        )

    @property
    def device(self) -> torch.device:
        """Where the vocoder is."""
        return next(self.vocoder.parameters()).device

    def make(self, mel: Tensor) -> tuple[Tensor, Tensor | None]:
        """Waveforms [B, S] of mel frames [B, M, F].

        Returns:
            The waveforms, and of a vocoder with a source, which gets random phases, the frequencies
            [B, F].
        """
        vocoder = self.vocoder
        if not isinstance(vocoder, HiFT):
            return vocoder.step(mel, Memory.of_whole()), None
        rows, count = len(mel), vocoder.num_harmonics
        phase = math.pi * (2 * torch.rand(rows, count, generator=self.generator) - 1)
        phase[:, 0] = 0
        samples = mel.shape[-1] * vocoder.hop_length
        noise = torch.randn(rows, count, samples, generator=self.generator)
        made: tuple[Tensor, Tensor] = vocoder(mel, phase.to(mel), noise.to(mel))
        return made

    def difference(self, made: Tensor, real: Tensor) -> Tensor:
        """The difference of the mel spectrograms of waveforms [B, S]."""
        if self._scales is not None:
            distance: Tensor = self._scales(made, real)
            return distance
        return F.l1_loss(log_mel(made, self.mel), log_mel(real, self.mel))

    def train_step(self, mel: Tensor, waveform: Tensor, f0: Tensor | None) -> dict[str, float]:
        """Update the discriminator, then the vocoder.

        Args:
            mel: [B, M, F].
            waveform: [B, S], of which the mel frames are.
            f0: [B, F] frequencies in Hz, 0 where unvoiced. None: not known; then the predictor of
                frequencies learns only by the sound.

        Returns:
            Named losses, weighted as in their sum.
        """
        training = self.training
        made, frequencies = self.make(mel)
        samples = min(made.shape[1], waveform.shape[1])
        made, real = made[:, :samples], waveform[:, :samples]
        losses = {"mel": training.mel_weight * self.difference(made, real)}
        if f0 is not None and frequencies is not None:
            losses["f0"] = F.l1_loss(frequencies, f0)
        verdict: Tensor | None = None
        if self.step >= training.adversarial_from:
            verdict = self._judge_alone(real, made.detach())
            self._update(self.discriminator, self.discriminator_optimizer, verdict)
            losses |= self._judge(real, made)
        self._update(self.vocoder, self.optimizer, torch.stack(list(losses.values())).sum())
        self.step += 1
        if verdict is not None:
            losses["discriminator"] = verdict
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def take(self, batch: dict[str, Any]) -> VocoderBatch:
        """Make what the vocoder learns from of a batch of `sled.data.tokens`."""
        return vocoder_batch(batch, self.device)

    @torch.no_grad()
    def evaluate(self, batches: Iterable[dict[str, Any]]) -> float:
        """Return the mean difference of mel spectrograms over utterances, with the same noise.

        Raises:
            ValueError: If there is no batch.
        """
        self.vocoder.eval()
        total, count = 0.0, 0
        for batch in batches:
            mel, waveform, _ = vocoder_batch(batch, self.device)
            made = self.vocoder.step(mel, Memory.of_whole())
            samples = min(made.shape[1], waveform.shape[1])
            difference = self.difference(made[:, :samples], waveform[:, :samples])
            total += float(difference) * len(made)
            count += len(made)
        self.vocoder.train()
        if not count:
            raise ValueError("there is no batch to evaluate on: name more data for evaluation")
        return total / count

    def learning_rate(self) -> float:
        """Return the learning rate."""
        return self.training.learning_rate

    def published_state(self) -> dict[str, Tensor]:
        """Return the weights of the vocoder by their published names."""
        return self.vocoder.published_state()

    def _judge_alone(self, real: Tensor, made: Tensor) -> Tensor:
        judged_real, judged_made = self._judged(real), self._judged(made)
        relative = relativistic_loss(judged_real, judged_made)
        loss = discriminator_loss(judged_real, judged_made)
        return loss + self.training.relativistic_weight * relative

    def _judge(self, real: Tensor, made: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            judged_real = self._judged(real)
        judged_made, training = self._judged(made), self.training
        relative = relativistic_loss(judged_made, judged_real)
        return {
            "adversarial": adversarial_loss(judged_made),
            "feature": training.feature_weight * feature_loss(judged_real, judged_made),
            "relativistic": training.relativistic_weight * relative,
        }

    def _judged(self, waveform: Tensor) -> Judgements:
        enabled = self.training.bf16
        with torch.autocast(waveform.device.type, torch.bfloat16, enabled=enabled):
            judged: Judgements = self.discriminator(waveform)
        return [[layer.float() for layer in layers] for layers in judged] if enabled else judged

    def _update(self, model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss / self.processes.size, inputs=list(model.parameters()))
        self.processes.add_gradients(model.parameters())
        norm = nn.utils.clip_grad_norm_(model.parameters(), self.training.max_grad_norm)
        # A step of nan or inf would destroy the weights; skipping one batch costs nothing.
        if torch.isfinite(norm):
            optimizer.step()
        else:
            logger.warning("step %d skipped: gradient norm %s", self.step, float(norm))

    def state_dict(self) -> dict[str, Any]:
        """The state that a continued run needs, as tensors and plain values."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return {"step": self.step, "generator": self.generator.get_state(), **parts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the result of `state_dict`."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.step = state["step"]
        self.generator.set_state(state["generator"])

    def _parts(self) -> dict[str, Any]:
        return {
            "vocoder": self.vocoder,
            "discriminator": self.discriminator,
            "optimizer": self.optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }
