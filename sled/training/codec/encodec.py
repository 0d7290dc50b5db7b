"""Training of an Encodec: its networks, its codebooks, and the stages of a run."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from sled.codec.encodec.initialize import new_encodec
from sled.codec.encodec.network import Encodec
from sled.training.codec.config import CodecTrainingConfig
from sled.training.codec.data import Segments
from sled.training.codec.evaluation import Reconstruction
from sled.training.codec.learner import SCALE_BATCHES, CodecLearner, cosine
from sled.training.codec.quantizer import CodebookLearner
from sled.training.codec.rescaling import (
    initialize_variance,
    rescale_latents,
    rescale_waveforms,
)

logger = logging.getLogger(__name__)

KMEANS_VECTORS_PER_ENTRY = 20


class EncodecLearner(CodecLearner[Encodec]):
    """A learner of an Encodec; arguments as for `CodecLearner`.

    Only the decoder is averaged: the codebooks must match the encoder they were trained with.
    """

    def __init__(
        self,
        config: CodecTrainingConfig,
        draw_batch: Callable[[], Segments],
        generator: torch.Generator,
    ) -> None:
        self.quantizing = False
        self.latent_scale: float | None = None
        super().__init__(config, draw_batch, generator)
        self.codebooks = CodebookLearner(
            self.model.quantizer,
            num_codebooks=self._most_codebooks,
            decay=config.codebook_decay,
            generator=generator,
        )

    @property
    def _most_codebooks(self) -> int:
        """Codebooks whose embeddings are summed into a latent."""
        return self.config.num_codebooks

    @property
    @override
    def num_codebooks(self) -> int:  # type: ignore[override]
        return self._most_codebooks if self.quantizing else 0

    @property
    @override
    def frozen(self) -> bool:
        return self.latent_scale is not None

    @property
    @override
    def exportable(self) -> bool:
        return self.frozen

    @override
    def _make_model(self) -> Encodec:
        return new_encodec(self.config.encodec_config())

    @override
    def _averaged_part(self, model: Encodec) -> nn.Module:
        return model.decoder

    @override
    def _rates(self, progress: float) -> tuple[float, float]:
        config, factor = self.config, cosine(progress)
        return config.learning_rate * factor, config.discriminator_learning_rate * factor

    @override
    def _enter_stage(self, progress: float) -> None:
        if self.step == 0:
            initialize_variance(self.model, self.draw_batch().waveforms * self.waveform_scale)
        if not self.quantizing and progress >= self.config.quantize_at:
            self._start_quantizing()
        # With a discriminator the latents are frozen: only the decoder is trained, at less cost.
        if not self.frozen and progress >= self.config.adversarial_at:
            self._freeze_latents()

    @override
    def _latents(self, segments: Segments, losses: dict[str, Tensor]) -> Tensor:
        latents = quantized = self._encode(segments.waveforms)
        if self.quantizing:
            result = self.codebooks.quantize(latents, update=not self.frozen)
            quantized = result.latents
            losses["commitment"] = self.config.commitment_weight * result.commitment
        excess = (latents.square().mean(1) - 1).relu().mean()
        losses["power"] = self.config.power_weight * excess
        chance = torch.rand(len(latents), 1, 1, generator=self.generator).to(self.device)
        mixed = torch.where(chance < self.config.continuous_probability, latents, quantized)
        return self._with_predictions(self._with_noise(mixed), segments.predictions)

    @override
    def _decode(
        self, latents: Tensor, segments: Segments, losses: dict[str, Tensor]
    ) -> tuple[Tensor, None]:
        with self._autocast():
            decoded: Tensor = self.model.decoder(latents)
        return decoded.float().squeeze(1) / self.waveform_scale, None

    @override
    def reconstruct(self, model: Encodec, waveform: Tensor) -> Reconstruction:
        latents = encoded = model.encoder(waveform[None, None])
        codes = None
        if self.num_codebooks:
            entries = model.quantizer.encode(encoded)[: self.num_codebooks]
            codes, latents = entries[:, 0], model.quantizer.decode(entries)
        decoded = model.decoder(latents)[0, 0, : len(waveform)]
        return Reconstruction(decoded, latents, encoded, codes)

    @override
    def decode(self, model: Encodec, units: Tensor) -> Tensor:
        waveform: Tensor = model.decoder(units.T[None])[0, 0]
        return waveform

    @override
    def averaged_model(self) -> Encodec:
        model = copy.deepcopy(self.model)
        model.decoder.load_state_dict(self.average.state_dict())
        self._rescale_to_true_level(model)
        return model.cpu().eval()

    def _rescale_to_true_level(self, model: Encodec) -> None:
        rescale_waveforms(model, self.waveform_scale)

    @override
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

    @override
    def state_dict(self) -> dict[str, Any]:
        own = {"quantizing": self.quantizing, "latent_scale": self.latent_scale}
        return super().state_dict() | own

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.quantizing, self.latent_scale = state["quantizing"], state["latent_scale"]

    def _encode(self, waveforms: Tensor) -> Tensor:
        with self._autocast():
            latents: Tensor = self.model.encoder(waveforms * self.waveform_scale)
        return latents.float()

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
