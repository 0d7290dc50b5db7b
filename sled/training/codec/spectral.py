"""Training of a spectral codec: mel distance first, then a frozen encoder and a discriminator.

The decoder's pulses are put where those of the recording are, which makes the recording
predictable but for its noise. The distance is that of distributions, so noise is drawn twice.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from sled.codec.spectral.excitation import pitch_output, pulses
from sled.codec.spectral.network import Spectral, new_spectral
from sled.training.codec.config import CodecTrainingConfig
from sled.training.codec.data import Segments
from sled.training.codec.evaluation import Reconstruction
from sled.training.codec.learner import SCALE_BATCHES, CodecLearner, cosine
from sled.training.codec.letters import LetterHead
from sled.training.codec.voice import VoicePhase

MIN_DEVIATION = 0.02
"""Of a number of latents, relative to its limit. One that hardly varies would otherwise be
rounded too coarsely in codes."""

PITCH_WEIGHT = 1.0
"""Of the error of the decoder's pitch, in nepers."""

JUDGED_S = 0.32
"""The discriminator hears this much of each segment, at a random place."""


class SpectralLearner(CodecLearner[Spectral]):
    """A learner of a spectral codec.

    Encoder and decoder are trained together until the discriminator joins. Then the averaged
    weights take the place of the model's, and only the decoder is trained on.

    Args:
        config: as for `CodecLearner`.
        draw_batch: as for `CodecLearner`.
        generator: as for `CodecLearner`.
        origin: a codec whose decoder is to be trained; its latents do not change. It is changed in
            place. None: a new codec is made.
        letters: size of the alphabet of the segments' letters; needed with a `ctc_weight`.
    """

    def __init__(
        self,
        config: CodecTrainingConfig,
        draw_batch: Callable[[], Segments],
        generator: torch.Generator,
        origin: Spectral | None = None,
        letters: int = 0,
    ) -> None:
        self._letters = letters
        self._letter_head: LetterHead | None = None
        self._origin, self._frozen = origin, origin is not None
        super().__init__(config, draw_batch, generator)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            _initialize_discriminator(self.discriminator)

    @property
    @override
    def frozen(self) -> bool:
        return self._frozen

    @property
    @override
    def exportable(self) -> bool:
        return True

    @override
    def _make_model(self) -> Spectral:
        if self._origin is not None:
            return self._origin.train().requires_grad_(True)
        return new_spectral(self.config.spectral_config())

    @override
    def _trained(self) -> nn.Module:
        if not self._letters:
            return self.model
        if self._letter_head is None:
            size, rate = self.config.latent_dim, self.config.frame_rate
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.config.seed)
                self._letter_head = LetterHead(size, self._letters, rate).to(self.device)
        return nn.ModuleList([self.model, self._letter_head])

    @override
    def _parts(self) -> dict[str, Any]:
        head = {} if self._letter_head is None else {"letter_head": self._letter_head}
        return super()._parts() | head

    @override
    def _averaged_part(self, model: Spectral) -> nn.Module:
        return model

    @override
    def _rates(self, progress: float) -> tuple[float, float]:
        config = self.config
        last, start = config.adversarial_learning_rate, config.adversarial_at
        if progress < start:
            rate = last + (config.learning_rate - last) * cosine(progress / start)
            return rate, config.discriminator_learning_rate
        factor = cosine((progress - start) / (1 - start)) if start < 1 else 1.0
        return last * factor, config.discriminator_learning_rate * factor

    @override
    def _enter_stage(self, progress: float) -> None:
        if not self._frozen and progress >= self.config.adversarial_at:
            self.model.load_state_dict(self.finished_model().state_dict())
            self._frozen = True

    @override
    def _latents(self, segments: Segments, losses: dict[str, Tensor]) -> Tensor:
        encoder = self.model.encoder
        with self._autocast():
            outputs = encoder.stack(segments.waveforms)
        latents = encoder.latents(outputs)
        if not self._frozen:
            if encoder.bottleneck == "kl":
                latents = self._sampled(outputs, losses)
            if self.config.smoothness_weight:
                change = latents.diff(dim=-1).square().mean()
                losses["smoothness"] = self.config.smoothness_weight * change
            if self._letter_head is not None and segments.letters is not None:
                loss = self._letter_head(latents, segments.letters)
                losses["ctc"] = self.config.ctc_weight * loss
        predictions = segments.predictions
        if predictions is not None:
            predictions = self.model.to_latents(predictions)
        return self._with_predictions(self._with_noise(latents), predictions)

    def _sampled(self, outputs: Tensor, losses: dict[str, Tensor]) -> Tensor:
        """Latents drawn from the posterior, whose divergence from the normal is a loss."""
        mean, log_variance = self.model.encoder.posterior(outputs)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
        losses["kl"] = self.config.kl_weight * divergence.mean()
        noise = torch.randn(mean.shape, generator=self.generator).to(self.device)
        return mean + (0.5 * log_variance).exp() * noise

    @torch.no_grad()
    def _standardize(self, model: Spectral) -> None:
        """Set mean and deviation of a model to those of the training segments' latents.

        The run goes on as if nothing had been drawn for this.
        """
        before = self.generator.get_state()
        batches = [self.draw_batch().waveforms for _ in range(SCALE_BATCHES)]
        self.generator.set_state(before)
        latents = torch.cat([model.encoder(batch.to(model.device)) for batch in batches])
        deviation, mean = torch.std_mean(latents, (0, 2))
        model.mean.copy_(mean[:, None])
        model.deviation.copy_(deviation[:, None].clamp(min=MIN_DEVIATION * model.config.limit))

    @override
    def _decode(
        self, latents: Tensor, segments: Segments, losses: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        decoder, voice = self.model.decoder, segments.voice
        assert voice is not None
        source, ahead = decoder.source, decoder.lookahead_samples
        with self._autocast():
            filters = decoder.filters(latents).float()
        voice = voice.preceded(ahead, source.sample_rate)
        losses["pitch"] = PITCH_WEIGHT * _pitch_loss(filters[:, 0], voice, source.hop)
        blocks = len(latents), filters.shape[-1] + 1, source.hop
        used = blocks[1] * blocks[2]
        sound = pulses(voice.phase[:, :used], voice.pitch[:, :used], source.sample_rate)
        spoken = source.voice_windows(sound.view(blocks), filters)

        def drawn(spoken: Tensor, filters: Tensor) -> Tensor:
            noise = torch.randn(blocks, generator=self.generator).to(self.device)
            windows = spoken + source.noise_windows(noise, filters)
            waveforms = source.overlapped(windows)[:, :-1].flatten(1)
            # Without the end, for which the segment holds no look-ahead.
            return waveforms[:, ahead:]

        other = drawn(spoken.detach(), filters.detach())
        return drawn(spoken, filters), other

    @override
    def _judge(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        judged = round(JUDGED_S * self.model.config.sampling_rate)
        spare = max(0, real.shape[1] - judged)
        start = int(torch.randint(spare + 1, (), generator=self.generator))
        both = (signal[:, start : start + judged] for signal in (real, fake))
        return super()._judge(*both)

    @override
    def averaged_model(self) -> Spectral:
        model = copy.deepcopy(self.average)
        assert isinstance(model, Spectral)
        model.mean.copy_(self.model.mean)
        model.deviation.copy_(self.model.deviation)
        return model.cpu().eval()

    @override
    def finished_model(self) -> Spectral:
        """The averaged codec; its units have mean 0 and variance 1."""
        model = self.averaged_model()
        if not self._frozen:
            self._standardize(model)
        return model

    @override
    def reconstruct(self, model: Spectral, waveform: Tensor) -> Reconstruction:
        latents = model.encoder(waveform[None, None])
        decoded = model.decoder(latents)[0, 0, : len(waveform)]
        units = model.to_units(latents)
        return Reconstruction(decoded, units, units)

    @override
    def decode(self, model: Spectral, units: Tensor) -> Tensor:
        waveform: Tensor = model.decoder(model.to_latents(units.T[None]))[0, 0]
        return waveform

    @override
    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"frozen": self._frozen}

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the result of `state_dict`.

        Raises:
            ValueError: if it belongs to a run that started from another codec.
        """
        if self._origin is not None:
            ours = {**self.model.encoder.state_dict(prefix="encoder."), "mean": self.model.mean}
            if not all(tensor.equal(state["model"].get(name)) for name, tensor in ours.items()):
                raise ValueError(
                    f"{self.config.finetune_path} is not the codec that the run in "
                    f"{self.config.output_dir} started from: choose another --output"
                )
        super().load_state_dict(state)
        self._frozen = state["frozen"]


def _initialize_discriminator(discriminator: nn.Module) -> None:
    """Draw weights that keep the variance of their input (He et al., 2015).

    With those that PyTorch draws, verdicts hardly depend on the input at first, and learn slowly.
    """
    for layer in discriminator.modules():
        if isinstance(layer, nn.Conv2d):
            weight = torch.empty_like(layer.weight)
            nn.init.kaiming_normal_(weight, a=0.2)
            layer.weight = weight  # which sets direction and gain of the normalization
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def _pitch_loss(outputs: Tensor, voice: VoicePhase, hop: int) -> Tensor:
    """Mean error, where there is voice, of the pitch that outputs [B, n] of columns stand for."""
    # Where a column's pitch is reached.
    ends = hop * torch.arange(2, outputs.shape[1] + 2, device=outputs.device)
    ends = ends.clamp(max=voice.pitch.shape[1] - 1)
    wanted, voiced = pitch_output(voice.pitch[:, ends]), voice.voiced[:, ends]
    errors = (outputs - wanted.float()).abs() * voiced
    return errors.sum() / voiced.sum().clamp(min=1)
