"""Settings of a codec training run; each field is also a flag of the command."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from sled.codec.encodec.config import EncodecConfig
from sled.codec.spectral.config import SpectralConfig


def _required(text: str) -> Any:
    return field(metadata={"help": text})


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


# Settings that only one family has.
_FAMILY_SETTINGS = {
    "encodec": (
        *("num_filters", "num_codebooks", "codebook_size", "quantize_at", "codebook_decay"),
        *("commitment_weight", "power_weight", "continuous_probability"),
    ),
    "spectral": (
        *("frame_rate", "bottleneck", "decoder_width", "decoder_blocks"),
        *("adversarial_learning_rate", "kl_weight", "smoothness_weight", "ctc_weight"),
    ),
}

# Of those, the ones that training the decoder of an existing codec depends on.
_DECODER_SETTINGS = ("continuous_probability", "adversarial_learning_rate")

# Values of settings whose default depends on the family.
_FAMILY_DEFAULTS: dict[str, dict[str, Any]] = {
    "encodec": {
        "latent_dim": 128,
        "learning_rate": 1e-3,
        "discriminator_learning_rate": 5e-4,
    },
    "spectral": {
        "latent_dim": 64,
        "learning_rate": 5e-4,
        "discriminator_learning_rate": 8e-4,
    },
}


@dataclass(frozen=True, kw_only=True)
class CodecTrainingConfig:
    """Settings of a `CodecTrainer`.

    The run of an Encodec has three stages, placed by the fraction of it that is done: continuous
    latents up to `quantize_at`, residual vector quantisation up to `adversarial_at`, and then a
    frozen encoder with a decoder that also learns from a discriminator. That of a spectral codec
    lacks the second. With `finetune_path` the encoder is frozen from the first step.
    """

    train_manifest: str = _required("Lhotse CutSet to train on (cuts.jsonl.gz)")
    eval_manifest: str = _required("Lhotse CutSet to validate on")
    output_dir: str = field(
        metadata={
            "help": "folder of the codec, its training state and its TensorBoard log",
            "aliases": ["--output", "-o"],
        }
    )

    family: Literal["encodec", "spectral"] = _option(
        "encodec",
        "encodec: codebooks, 75 latents a second. spectral: continuous latents at --frame_rate, a "
        "decoder that is faster on a processor",
    )
    num_filters: int = _option(32, "width of the first convolution (32 in the published codec)")
    num_codebooks: int = _option(8, "codebooks whose embeddings are summed into a latent")
    codebook_size: int = _option(1024, "entries per codebook, a power of two")
    latent_dim: int = _option(
        None, "width of a latent vector; unset: 128 for an Encodec, 64 for a spectral codec"
    )
    frame_rate: float = _option(
        18.75, "spectral: latents a second, 12.5, 18.75, 25, or another of which 75 is a multiple"
    )
    bottleneck: Literal["tanh", "kl"] = _option(
        "tanh",
        "spectral: how latents are limited. tanh: to -1 ... 1, with noise (--latent_noise). kl: "
        "to what a Gaussian posterior lets through (--kl_weight), and so they are almost Gaussian",
    )
    decoder_width: int = _option(
        384, "spectral: channels of the decoder; the encoder has two thirds of them"
    )
    decoder_blocks: int = _option(6, "spectral: blocks of the decoder")

    max_steps: int = _option(100_000, "optimiser steps of the whole run")
    max_minutes: float = _option(
        0.0,
        "if positive, fit the schedule into this many minutes of training; on a processor, of its "
        "time, so that pauses do not count",
    )
    batch_size: int = _option(8, "segments per step")
    segment_s: float = _option(0.8, "length of a training segment in seconds")
    learning_rate: float = _option(
        None,
        "peak rate of the codec; warm-up, then cosine decay to zero, or for a spectral codec to "
        "the next. Unset: 1e-3, spectral 5e-4",
    )
    adversarial_learning_rate: float = _option(
        1.5e-4,
        "spectral: rate of the decoder when the discriminator joins; cosine decay to zero",
    )
    discriminator_learning_rate: float = _option(
        None, "rate of the discriminator, same decay. Unset: 5e-4, spectral 8e-4"
    )
    warmup_steps: int = _option(100, "steps of linear learning-rate warm-up")
    max_grad_norm: float = _option(5.0, "gradient norm at which updates are clipped")
    decoder_average: float = _option(0.995, "decay of the moving average of the decoder's weights")
    bf16: bool = _option(True, "run convolutions under bfloat16 autocast")
    device: str = _option("cpu", "cpu, cuda, cuda:1, mps, or auto")
    seed: int = _option(0, "seed of weights, crops and noise")

    finetune_path: str | None = _option(
        None,
        "adapt the decoder of this codec (folder, hub name or .th file) to the recordings; its "
        "encoder and codebooks do not change, and so neither do codes, latents and transforms. The "
        "sizes are those of this codec. Unset: train a new codec",
    )
    predictions: str | None = _option(
        None,
        "with finetune_path: folder of a model's predictions for the recordings (`sled cache "
        "predictions`), so that the decoder learns to decode what the model draws. Recordings then "
        "keep their level (no jitter), and those without predictions or shorter than a segment are "
        "left out. Unset: the decoder is trained on the codec's own latents only",
    )
    predictions_share: float = _option(
        0.85, "with predictions: share of segments in which the decoder gets them"
    )
    eval_predictions: str | None = _option(
        None,
        "with finetune_path: the same for the recordings to validate on; evaluations then also "
        "report how close to the recordings the decoded predictions are",
    )
    quantize_at: float = _option(0.3, "fraction of the run at which k-means starts the codebooks")
    adversarial_at: float = _option(
        0.65, "fraction of the run at which the discriminator joins; 1 for never"
    )
    codebook_decay: float = _option(0.99, "decay of the codebooks' moving averages")
    commitment_weight: float = _option(
        1.0, "weight of the quantisation error that pulls the encoder in"
    )
    power_weight: float = _option(
        1.0, "weight of the latents' power above one per dimension, which keeps all frames in range"
    )
    kl_weight: float = _option(
        1e-2, "spectral, bottleneck kl: weight of the divergence of latents from a Gaussian"
    )
    smoothness_weight: float = _option(
        0.0, "spectral: weight of the squared change from latent to latent"
    )
    ctc_weight: float = _option(
        0.0,
        "spectral: weight of a loss for reading letters, or phonemes if the texts hold them, off "
        "the latents; the training manifest is then one that sled align has written",
    )
    mel_weight: float = _option(15.0, "weight of the multi-scale log-mel distance")
    stft_weight: float = _option(
        0.0,
        "weight of the multi-resolution distance of STFT magnitudes, which resolves harmonics that "
        "mel bands do not",
    )
    waveform_weight: float = _option(
        0.0, "weight of the L1 distance of waveforms, which makes latents carry the voice's phase"
    )
    adversarial_weight: float = _option(1.0, "weight of the discriminator's verdict")
    feature_weight: float = _option(5.0, "weight of the feature matching loss")
    discriminator_filters: int = _option(16, "channels of each spectrogram discriminator")
    period_filters: int = _option(
        0,
        "channels of the first layer of each period discriminator, 32 in the published ones; 0: "
        "there are none",
    )

    continuous_probability: float = _option(
        0.25,
        "share of segments whose decoder sees the encoder's own latents, not the quantised ones",
    )
    latent_noise: float = _option(
        0.25,
        "largest standard deviation of noise added to the decoder's input, whose power is about "
        "one; it makes the decoder forgive a language model's inexact latents",
    )

    loudness_db: float = _option(-23.0, "RMS level in dB of full scale that clips are brought to")
    loudness_jitter_db: float = _option(
        4.0, "random gain around that level, per segment, up to this"
    )
    max_cached_hours: float = _option(
        30.0, "keep the corpus in memory (16-bit) up to this many hours"
    )

    save_steps: int = _option(250, "steps between checkpoints")
    eval_steps: int = _option(1000, "steps between evaluations")
    logging_steps: int = _option(20, "steps between TensorBoard points")
    max_eval_cuts: int = _option(48, "validation clips used, from the first on")

    def __post_init__(self) -> None:
        for name, value in _FAMILY_DEFAULTS[self.family].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        positive = (
            "num_filters num_codebooks codebook_size latent_dim frame_rate decoder_width "
            "decoder_blocks max_steps batch_size segment_s learning_rate save_steps eval_steps "
            "logging_steps max_eval_cuts"
        )
        for name in positive.split():
            if not getattr(self, name) > 0:  # also refuses nan
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.codebook_size & (self.codebook_size - 1):
            raise ValueError(f"codebook_size must be a power of two, got {self.codebook_size}")
        if self.period_filters < 0:
            raise ValueError(f"period_filters must be 0 or more, got {self.period_filters}")
        if not 0 <= self.predictions_share <= 1:
            raise ValueError(f"predictions_share must be from 0 to 1, got {self.predictions_share}")
        for name in ("predictions", "eval_predictions"):
            if getattr(self, name) is not None and not self.finetune_path:
                raise ValueError(f"{name} needs finetune_path: name the codec it was made with")
        if self.finetune_path:
            self._check_finetuning()
            return
        self._check_family()
        if self.family == "encodec" and not 0 < self.quantize_at < self.adversarial_at <= 1:
            raise ValueError(
                "the stages need 0 < quantize_at < adversarial_at <= 1, "
                f"got {self.quantize_at} and {self.adversarial_at}"
            )

    def _given(self, names: Iterable[str]) -> list[str]:
        """Those of these settings that differ from their defaults."""
        defaults = {setting.name: setting.default for setting in fields(self)}
        defaults |= _FAMILY_DEFAULTS[self.family]
        return [name for name in names if getattr(self, name) != defaults[name]]

    def _check_family(self) -> None:
        """Refuse settings of another family, and sizes that make no codec.

        Raises:
            ValueError: if there are any.
        """
        for family, names in _FAMILY_SETTINGS.items():
            if family != self.family and (given := self._given(names)):
                raise ValueError(
                    f"{', '.join(given)}: codecs of the family {self.family} have no such setting, "
                    f"leave it out or set --family {family}"
                )
        if self.family == "spectral":
            if not 0 < self.adversarial_at <= 1:
                raise ValueError(
                    f"adversarial_at must be above 0, up to 1, got {self.adversarial_at}"
                )
            config = self.spectral_config()
            least = (config.lookahead_frames + 1) / self.frame_rate
            if self.segment_s < least:
                raise ValueError(f"segment_s must be at least {least:g}, got {self.segment_s}")

    def _check_finetuning(self) -> None:
        """Refuse settings that would have no effect.

        Raises:
            ValueError: if there are any.
        """
        names = ["family", "latent_dim", *chain.from_iterable(_FAMILY_SETTINGS.values())]
        given = self._given(name for name in names if name not in _DECODER_SETTINGS)
        if given:
            raise ValueError(
                f"{', '.join(given)} with finetune_path: encoder and codebooks of "
                f"{self.finetune_path} do not change, leave this out"
            )
        if not 0 <= self.adversarial_at <= 1:
            raise ValueError(f"adversarial_at must be from 0 to 1, got {self.adversarial_at}")
        if Path(self.finetune_path or "").resolve() == Path(self.output_dir).resolve():
            raise ValueError(
                f"--output {self.output_dir} is the codec to start from: name another folder"
            )

    def encodec_config(self) -> EncodecConfig:
        """The published 24 kHz architecture, with this run's widths and bitrate."""
        published = EncodecConfig()
        bits = self.codebook_size.bit_length() - 1
        kbps = [n * bits * published.frame_rate / 1000 for n in range(1, self.num_codebooks + 1)]
        # The ladder of the published codec: every doubling up to the full rate (1.5, 3, 6 kbps).
        ladder = [kbps[n - 1] for n in (2, 4, 8, 16, 32) if n < self.num_codebooks] + [kbps[-1]]
        return EncodecConfig(
            num_filters=self.num_filters,
            hidden_size=self.latent_dim,
            codebook_size=self.codebook_size,
            target_bandwidths=tuple(ladder),
        )

    def spectral_config(self) -> SpectralConfig:
        """The architecture of a spectral codec with this run's sizes.

        Raises:
            ValueError: if columns of the spectrogram do not fill a latent evenly.
        """
        published = SpectralConfig()
        columns_s = published.sampling_rate / published.stft_hop
        columns = round(columns_s / self.frame_rate)
        if columns < 1 or columns * self.frame_rate != columns_s:
            raise ValueError(
                f"frame_rate {self.frame_rate:g}: choose 12.5, 18.75, 25 or another rate of which "
                f"{columns_s:g} is a multiple"
            )
        return SpectralConfig(
            columns_per_frame=columns,
            latent_size=self.latent_dim,
            bottleneck=self.bottleneck,
            encoder_width=max(1, self.decoder_width * 2 // 3),
            decoder_width=self.decoder_width,
            decoder_blocks=self.decoder_blocks,
        )
