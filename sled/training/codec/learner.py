"""The networks of a codec training run, and one training step."""

import copy
import logging
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from sled.codec.encodec.initialize import new_encodec
from sled.codec.encodec.network import Encodec
from sled.training.codec.config import CodecTrainingConfig
from sled.training.codec.data import Segments
from sled.training.codec.discriminator import MultiScaleDiscriminator
from sled.training.codec.losses import (
    MultiScaleMelDistance,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from sled.training.codec.quantizer import CodebookLearner
from sled.training.codec.rescaling import (
    initialize_variance,
    rescale_latents,
    rescale_waveforms,
)

logger = logging.getLogger(__name__)

BETAS = (0.8, 0.99)
KMEANS_VECTORS_PER_ENTRY = 20
SCALE_BATCHES = 32


class CodecLearner:
    """Codec, discriminator and their optimisers.

    Args:
        config: settings of the run.
        draw_batch: gives training segments on the configured device.
        generator: source of noise and of choices.
    """

    def __init__(
        self,
        config: CodecTrainingConfig,
        draw_batch: Callable[[], Segments],
        generator: torch.Generator,
    ) -> None:
        self.config = config
        # The networks work on waveforms of unit RMS, the mel distance on the true level.
        self.waveform_scale = 10 ** (-config.loudness_db / 20)
        self.draw_batch = draw_batch
        self.generator = generator
        self.device = torch.device(config.device)
        self.step = 0
        self.quantizing = False
        self.latent_scale: float | None = None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = self._make_model().to(self.device)
            self.discriminator = MultiScaleDiscriminator(config.discriminator_filters)
            self.discriminator.to(self.device)
        self.codebooks = CodebookLearner(
            self.model.quantizer,
            num_codebooks=self.num_codebooks,
            decay=config.codebook_decay,
            generator=generator,
        )
        # Only the decoder is averaged: the codebooks must match the encoder they were trained with.
        self.average = copy.deepcopy(self.model.decoder).requires_grad_(False)
        self.mel_distance = MultiScaleMelDistance(self.model.config.sampling_rate).to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, betas=BETAS, weight_decay=0.0
        )
        self.discriminator_optimizer = torch.optim.AdamW(
            self.discriminator.parameters(),
            lr=config.discriminator_learning_rate,
            betas=BETAS,
            weight_decay=0.0,
        )

    @property
    def num_codebooks(self) -> int:
        """Codebooks whose embeddings are summed into a latent."""
        return self.config.num_codebooks

    @property
    def frozen(self) -> bool:
        """Whether latents do not change any more, so that only the decoder is trained."""
        return self.latent_scale is not None

    @property
    def latent_rms(self) -> float:
        """Root mean square of the decoder's input, roughly."""
        return 1.0

    def _make_model(self) -> Encodec:
        """The codec before its first step."""
        return new_encodec(self.config.encodec_config())

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
        waveforms = segments.waveforms
        losses: dict[str, Tensor] = {}
        with torch.set_grad_enabled(not self.frozen):
            latents = quantized = self._encode(waveforms)
            if self.quantizing:
                result = self.codebooks.quantize(latents, update=not self.frozen)
                quantized = result.latents
                losses["commitment"] = self.config.commitment_weight * result.commitment
            excess = (latents.square().mean(1) - 1).relu().mean()
            losses["power"] = self.config.power_weight * excess
        with self._autocast():
            decoded = self.model.decoder(
                self._decoder_input(latents, quantized, segments.predictions)
            )
        real, fake = waveforms.squeeze(1), decoded.float().squeeze(1) / self.waveform_scale
        losses["mel"] = self.config.mel_weight * self.mel_distance(fake, real)
        if self.config.waveform_weight:
            error = (fake - real).abs().mean() * self.waveform_scale
            losses["waveform"] = self.config.waveform_weight * error
        if adversarial:
            losses |= self._judge(real * self.waveform_scale, fake * self.waveform_scale)

        # The codec does not minimize the discriminator's own loss.
        verdict = losses.pop("discriminator", None)
        total = torch.stack(list(losses.values())).sum()
        self._update(self.model, self.optimizer, total, keep_graph=verdict is not None)
        if verdict is not None:
            self._update(self.discriminator, self.discriminator_optimizer, verdict)
            losses["discriminator"] = verdict
        self._update_average()
        self.step += 1
        values = {name: float(value.detach()) for name, value in losses.items()}
        return values | {"mel": values["mel"] / self.config.mel_weight}

    def _enter_stage(self, progress: float) -> None:
        """Prepare the networks when a new stage begins."""
        if self.step == 0:
            initialize_variance(self.model, self.draw_batch().waveforms * self.waveform_scale)
        if not self.quantizing and progress >= self.config.quantize_at:
            self._start_quantizing()
        # With a discriminator the latents are frozen: only the decoder is trained, at less cost.
        if not self.frozen and progress >= self.config.adversarial_at:
            self._freeze_latents()

    def averaged_model(self) -> Encodec:
        """The codec with the averaged decoder, in evaluation mode on the CPU."""
        model = copy.deepcopy(self.model)
        model.decoder.load_state_dict(self.average.state_dict())
        self._rescale_to_true_level(model)
        return model.cpu().eval()

    def _rescale_to_true_level(self, model: Encodec) -> None:
        rescale_waveforms(model, self.waveform_scale)

    def finished_model(self) -> Encodec:
        """The averaged codec with latents of unit RMS.

        Once the discriminator has joined, latents are frozen: the model of a later call decodes
        the same latents, only better.

        Raises:
            ValueError: if the run has no codebooks yet.
        """
        if not self.quantizing:
            raise ValueError("this run has no codebooks yet: train past quantize_at first")
        if self.latent_scale is None:
            self._freeze_latents()
        assert self.latent_scale is not None
        model = self.averaged_model()
        rescale_latents(model, self.latent_scale)
        return model

    def state_dict(self) -> dict[str, Any]:
        """The state that a continued run needs, as tensors and plain values."""
        return {
            "step": self.step,
            "quantizing": self.quantizing,
            "latent_scale": self.latent_scale,
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the result of `state_dict`."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.step, self.quantizing = state["step"], state["quantizing"]
        self.latent_scale = state["latent_scale"]

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
        factor = warmup * 0.5 * (1 + math.cos(math.pi * progress))
        for optimizer, peak in (
            (self.optimizer, self.config.learning_rate),
            (self.discriminator_optimizer, self.config.discriminator_learning_rate),
        ):
            for group in optimizer.param_groups:
                group["lr"] = peak * factor

    def _autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bf16)

    def _encode(self, waveforms: Tensor) -> Tensor:
        with self._autocast():
            latents: Tensor = self.model.encoder(waveforms * self.waveform_scale)
        return latents.float()

    def _decoder_input(
        self, latents: Tensor, quantized: Tensor, predictions: Tensor | None
    ) -> Tensor:
        """Mix of quantized and continuous latents [B, D, T], with noise of random strength.

        In some segments the predictions of a model replace them, without noise.
        """
        chance = torch.rand(len(latents), 1, 1, generator=self.generator).to(self.device)
        mixed = torch.where(chance < self.config.continuous_probability, latents, quantized)
        strength = torch.rand(len(latents), 1, 1, generator=self.generator)
        noise = torch.randn(latents.shape, generator=self.generator) * strength
        noisy = mixed + self.config.latent_noise * self.latent_rms * noise.to(self.device)
        if predictions is None:
            return noisy
        chance = torch.rand(len(latents), 1, 1, generator=self.generator).to(self.device)
        return torch.where(chance < self.config.predictions_share, predictions, noisy)

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
        current: list[Tensor] = list(self.model.decoder.parameters())
        torch._foreach_lerp_(averaged, current, 1 - decay)

    @torch.no_grad()
    def _start_quantizing(self) -> None:
        """Place the codebooks by k-means on the latents of fresh segments."""
        wanted = KMEANS_VECTORS_PER_ENTRY * self.config.codebook_size
        gathered: list[Tensor] = []
        while sum(map(len, gathered)) < wanted:
            features = self._encode(self.draw_batch().waveforms)
            gathered.append(features.transpose(1, 2).flatten(0, 1))
        self.codebooks.initialize(torch.cat(gathered))
        self.quantizing = True
        logger.info("step %d: codebooks initialised", self.step)

    @torch.no_grad()
    def _freeze_latents(self) -> None:
        """Compute the factor that gives exported latents unit RMS, and freeze them."""
        powers = []
        for _ in range(SCALE_BATCHES):
            latents = self._encode(self.draw_batch().waveforms)
            quantized = self.codebooks.quantize(latents, update=False).latents
            powers.append(quantized.square().mean())
        self.latent_scale = 1 / float(torch.stack(powers).mean().sqrt())
