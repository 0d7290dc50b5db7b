"""The codec training loop: three stages, checkpoints, evaluation, export."""

import copy
import dataclasses
import logging
import math
import os
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm
from transformers import EncodecFeatureExtractor, EncodecModel

from sled.training.codec.config import CodecTrainingConfig
from sled.training.codec.data import SegmentSampler, read_manifest
from sled.training.codec.discriminator import MultiScaleDiscriminator
from sled.training.codec.evaluation import CodecReport, evaluate_codec, load_eval_clips
from sled.training.codec.initialization import initialize_variance, rescale_latents
from sled.training.codec.losses import (
    MultiScaleMelDistance,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from sled.training.codec.quantizer import CodebookLearner

logger = logging.getLogger(__name__)

STATE_FILE = "training_state.pt"
BETAS = (0.8, 0.99)
KMEANS_VECTORS_PER_ENTRY = 20


class CodecTrainer:
    """Trains an Encodec-form codec and leaves it in `config.output_dir`.

    A folder that holds the state of an unfinished run is continued, with the same result as an
    uninterrupted one (unless `max_minutes` ties the schedule to the clock).

    Args:
        config: settings of the run.

    Raises:
        ValueError: if a manifest is empty, or the folder belongs to a run with other settings.
        OSError: if a manifest cannot be read or the folder not written.
    """

    def __init__(self, config: CodecTrainingConfig) -> None:
        self.config = config
        self.output_dir = Path(config.output_dir)
        self.output_dir.mkdir(parents=True, exist_ok=True)
        self.device = torch.device(config.device)
        encodec = config.encodec_config()
        self.sample_rate = encodec.sampling_rate
        hop = encodec.hop_length
        self.sampler = SegmentSampler(
            read_manifest(config.train_manifest),
            sample_rate=self.sample_rate,
            segment_samples=max(1, round(config.segment_s * self.sample_rate / hop)) * hop,
            loudness_db=config.loudness_db,
            loudness_jitter_db=config.loudness_jitter_db,
            max_cached_hours=config.max_cached_hours,
        )
        eval_cuts = read_manifest(config.eval_manifest).subset(first=config.max_eval_cuts)
        self.eval_clips = load_eval_clips(eval_cuts, self.sample_rate, config.loudness_db)

        self.generator = torch.Generator().manual_seed(config.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = EncodecModel(encodec)
            self.discriminator = MultiScaleDiscriminator(config.discriminator_filters)
        self.model.to(self.device)
        self.discriminator.to(self.device)
        self.codebooks = CodebookLearner(
            self.model.quantizer, decay=config.codebook_decay, generator=self.generator
        )
        self.mel_distance = MultiScaleMelDistance(self.sample_rate).to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, betas=BETAS, weight_decay=0.0
        )
        self.discriminator_optimizer = torch.optim.AdamW(
            self.discriminator.parameters(),
            lr=config.discriminator_learning_rate,
            betas=BETAS,
            weight_decay=0.0,
        )
        # Only the decoder is averaged: codes and codebooks must be those the encoder learnt with.
        self.average = copy.deepcopy(self.model.decoder).requires_grad_(False)
        self.step = 0
        self.trained_s = 0.0
        self.quantizing = False

    # -- schedule ------------------------------------------------------------------------------

    @property
    def progress(self) -> float:
        """Fraction of the run that is done: of its steps, or of its minutes if those run out first."""
        done = self.step / self.config.max_steps
        if self.config.max_minutes > 0:
            done = max(done, self.trained_s / (60 * self.config.max_minutes))
        return min(done, 1.0)

    def _set_learning_rates(self) -> None:
        warmup = min(1.0, (self.step + 1) / self.config.warmup_steps)
        factor = warmup * 0.5 * (1 + math.cos(math.pi * self.progress))
        for optimizer, peak in (
            (self.optimizer, self.config.learning_rate),
            (self.discriminator_optimizer, self.config.discriminator_learning_rate),
        ):
            for group in optimizer.param_groups:
                group["lr"] = peak * factor

    # -- one step ------------------------------------------------------------------------------

    def _autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bf16)

    def _batch(self, size: int) -> Tensor:
        return self.sampler.batch(size, self.generator).to(self.device)

    def _encode(self, waveforms: Tensor) -> Tensor:
        with self._autocast():
            return self.model.encoder(waveforms).float()

    def _decoder_input(self, latents: Tensor, quantized: Tensor) -> Tensor:
        """Mix of quantised and continuous latents [B, D, T], with noise of random strength."""
        chance = torch.rand(len(latents), 1, 1, generator=self.generator).to(self.device)
        mixed = torch.where(chance < self.config.continuous_probability, latents, quantized)
        strength = torch.rand(len(latents), 1, 1, generator=self.generator)
        noise = torch.randn(latents.shape, generator=self.generator) * strength
        rms = latents.detach().square().mean().sqrt()
        return mixed + self.config.latent_noise * rms * noise.to(self.device)

    def _start_quantizing(self) -> None:
        """Place the codebooks by k-means on the latents of fresh segments."""
        wanted = KMEANS_VECTORS_PER_ENTRY * self.config.codebook_size
        gathered: list[Tensor] = []
        with torch.no_grad():
            while sum(map(len, gathered)) < wanted:
                latents = self._encode(self._batch(self.config.batch_size))
                gathered.append(latents.transpose(1, 2).flatten(0, 1))
        self.codebooks.initialize(torch.cat(gathered))
        self.quantizing = True

    def train_step(self) -> dict[str, float]:
        """Advance by one optimiser step.

        Returns:
            Named losses of the step.
        """
        config = self.config
        if self.step == 0:
            initialize_variance(self.model, self._batch(2 * config.batch_size))
        if not self.quantizing and self.progress >= config.quantize_at:
            self._start_quantizing()
        adversarial = self.progress >= config.adversarial_at
        self._set_learning_rates()

        waveforms = self._batch(config.batch_size)
        losses: dict[str, Tensor] = {}
        # With a discriminator the latent space stands still: only the decoder learns, at less cost.
        with torch.set_grad_enabled(not adversarial):
            latents = quantized = self._encode(waveforms)
            if self.quantizing:
                result = self.codebooks.quantize(latents, update=not adversarial)
                quantized = result.latents
                losses["commitment"] = config.commitment_weight * result.commitment
        with self._autocast():
            decoded = self.model.decoder(self._decoder_input(latents, quantized))
        real, fake = waveforms.squeeze(1), decoded.float().squeeze(1)
        losses["mel"] = config.mel_weight * self.mel_distance(fake, real)
        verdict = None
        if adversarial:
            with self._autocast():
                judged_real, judged_fake = self.discriminator(real), self.discriminator(fake)
            losses["adversarial"] = config.adversarial_weight * adversarial_loss(judged_fake)
            losses["feature"] = config.feature_weight * feature_loss(judged_real, judged_fake)
            verdict = discriminator_loss(judged_real, judged_fake)

        total = torch.stack(list(losses.values())).sum()
        self._update(self.model, self.optimizer, total, keep_graph=adversarial)
        if verdict is not None:
            # Both sides learn from one hearing, which saves two of the discriminator's passes.
            self._update(self.discriminator, self.discriminator_optimizer, verdict)
            losses["discriminator"] = verdict
        self._update_average()
        self.step += 1
        values = {name: float(value.detach()) for name, value in losses.items()}
        return values | {"mel": values["mel"] / config.mel_weight}

    def _update(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: Tensor,
        *,
        keep_graph: bool = False,
    ) -> None:
        optimizer.zero_grad(set_to_none=True)
        # Only this model's gradients: the loss may have come through the other one as well.
        loss.backward(inputs=list(model.parameters()), retain_graph=keep_graph)
        norm = nn.utils.clip_grad_norm_(model.parameters(), self.config.max_grad_norm)
        # A step of nan or inf would spoil the weights for good; skipping one batch costs nothing.
        if torch.isfinite(norm):
            optimizer.step()
        else:
            logger.warning("step %d skipped: gradient norm %s", self.step, float(norm))

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average forgets faster, so that it does not remember the random start.
        decay = min(self.config.decoder_average, (1 + self.step) / (10 + self.step))
        averaged = list(self.average.parameters())
        torch._foreach_lerp_(averaged, list(self.model.decoder.parameters()), 1 - decay)

    # -- whole run -----------------------------------------------------------------------------

    def train(self) -> CodecReport:
        """Run, or continue, until the schedule ends; then evaluate and export the codec."""
        self.resume()
        writer = SummaryWriter(str(self.output_dir / "tensorboard"), purge_step=self.step)
        bar = tqdm(total=self.config.max_steps, initial=self.step, unit="step", mininterval=5)
        with writer, bar:
            while self.progress < 1:
                started = time.monotonic()
                losses = self.train_step()
                self.trained_s += time.monotonic() - started
                bar.update()
                if self.step % self.config.logging_steps == 0:
                    self._log(writer, bar, losses)
                if self.step % self.config.save_steps == 0:
                    self.save_state()
                if self.step % self.config.eval_steps == 0 and self.progress < 1:
                    self._evaluate(self._averaged_model(), writer)
            self.save_state()
            model = self.export()
            return self._evaluate(model, writer)

    def _log(self, writer: SummaryWriter, bar: tqdm, losses: dict[str, float]) -> None:
        for name, value in losses.items():
            writer.add_scalar(f"loss/{name}", value, self.step)
        writer.add_scalar("schedule/learning_rate", self.optimizer.param_groups[0]["lr"], self.step)
        writer.add_scalar("schedule/step_s", self.trained_s / self.step, self.step)
        bar.set_postfix({name: f"{value:.3f}" for name, value in losses.items()}, refresh=False)

    def _evaluate(self, model: EncodecModel, writer: SummaryWriter) -> CodecReport:
        report = evaluate_codec(model, self.eval_clips, quantize=self.quantizing)
        report.write(writer, self.step)
        logger.info("step %d: %s", self.step, report)
        return report

    def _averaged_model(self) -> EncodecModel:
        model = copy.deepcopy(self.model)
        model.decoder.load_state_dict(self.average.state_dict())
        return model.eval()

    def export(self) -> EncodecModel:
        """Save the codec, with latents of unit RMS, so that `load_codec` reads the folder.

        Returns:
            The exported model.

        Raises:
            ValueError: if the run has not come to its codebooks yet.
        """
        if not self.quantizing:
            raise ValueError(
                "this run has no codebooks yet; train past quantize_at before exporting"
            )
        model = self._averaged_model()
        powers = []
        with torch.no_grad():
            for _ in range(32):
                latents = self._encode(self._batch(self.config.batch_size))
                quantized = self.codebooks.quantize(latents, update=False).latents
                powers.append(quantized.square().mean())
        rescale_latents(model, 1 / float(torch.stack(powers).mean().sqrt()))
        model.cpu().save_pretrained(self.output_dir)
        EncodecFeatureExtractor(sampling_rate=self.sample_rate).save_pretrained(self.output_dir)
        return model

    # -- state ---------------------------------------------------------------------------------

    def save_state(self) -> None:
        """Write everything needed to continue; an interrupted write leaves the older file."""
        state = {
            "config": _resumable(self.config),
            "step": self.step,
            "trained_s": self.trained_s,
            "quantizing": self.quantizing,
            "generator": self.generator.get_state(),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }
        path = self.output_dir / STATE_FILE
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, path)

    def resume(self) -> None:
        """Continue from the state in the output folder, if there is one."""
        path = self.output_dir / STATE_FILE
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        wanted = _resumable(self.config)
        changed = sorted(key for key in wanted if state["config"].get(key) != wanted[key])
        if changed:
            raise ValueError(
                f"{self.output_dir} holds a run with other settings ({', '.join(changed)}); "
                "choose another output_dir or delete its " + STATE_FILE
            )
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.generator.set_state(state["generator"].cpu())
        self.step, self.trained_s = state["step"], state["trained_s"]
        self.quantizing = state["quantizing"]
        logger.info("resuming %s at step %d", self.output_dir, self.step)

    def _parts(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "average": self.average,
            "discriminator": self.discriminator,
            "optimizer": self.optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }


# Settings that may change between a run and its continuation: where things lie, how often to report.
_FREE = ("output_dir train_manifest eval_manifest device max_minutes max_cached_hours").split()
_FREE += "save_steps eval_steps logging_steps max_eval_cuts".split()


def _resumable(config: CodecTrainingConfig) -> dict[str, Any]:
    return {key: value for key, value in dataclasses.asdict(config).items() if key not in _FREE}
