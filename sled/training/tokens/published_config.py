"""CosyVoice's configurations: the sizes of a model, the settings of a run, and of its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sled.data.tokens.options import COSYVOICE, COSYVOICE2, PipelineOptions
from sled.files.hyperpyyaml import CLASS, read_hyperpyyaml
from sled.files.json_object import read_json_object
from sled.files.published_config import token_rate_of
from sled.model.tokens.cosyvoice import KIND as COSYVOICE_KIND
from sled.model.tokens.cosyvoice import usual_rate
from sled.model.tokens.cosyvoice2 import KIND as COSYVOICE2_KIND
from sled.training.optimizer import Adam

# Steps of the pipeline, and which of their settings are options of ours.
_PIPELINE = {
    "filter": (
        *("min_length", "max_length", "token_min_length", "token_max_length"),
        *("min_output_input_ratio", "max_output_input_ratio"),
    ),
    "shuffle": ("shuffle_size",),
    "sort": ("sort_size",),
    "batch": ("max_frames_in_batch",),
    "padding": ("use_spk_embedding",),
}


# The parts with the settings of a run: of language models and flows, and of vocoders.
NETWORK, VOCODER = "train_conf", "train_conf_gan"


@dataclass(frozen=True)
class PublishedConfig:
    """A configuration, of which each part is read when it is needed.

    Attributes:
        path: Its file.
        content: What it holds.
    """

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def load(cls, path: Path, pretrained_text_model: Path | None = None) -> PublishedConfig:
        """Read a file.

        Raises:
            OSError: If it cannot be read.
            ValueError: If it is not of this form.
        """
        overrides = {}
        if pretrained_text_model is not None:
            overrides["qwen_pretrain_path"] = str(pretrained_text_model)
        return cls(path, read_hyperpyyaml(path, overrides))

    @property
    def kind(self) -> str:
        """The class of the language model.

        Raises:
            ValueError: If it is none that is known.
        """
        name = str(self._part("llm").get(CLASS, "")).rpartition(".")[2]
        if name not in (COSYVOICE_KIND, COSYVOICE2_KIND):
            raise ValueError(
                f"{self.path}: llm is {name or 'no class'}, known are {COSYVOICE_KIND} and "
                f"{COSYVOICE2_KIND}"
            )
        return name

    def model_sizes(self) -> dict[str, Any]:
        """Return what `config.json` holds of a new language model.

        Raises:
            ValueError: If something is missing.
        """
        llm = self._part("llm")
        try:
            if self.kind == COSYVOICE_KIND:
                return {
                    "kind": COSYVOICE_KIND,
                    **{
                        name: llm[name]
                        for name in (
                            *("text_encoder_input_size", "llm_input_size", "llm_output_size"),
                            *("text_token_size", "speech_token_size", "spk_embed_dim"),
                            *("text_encoder", "llm"),
                        )
                    },
                    "frame_rate": token_rate_of(self.content) or usual_rate(llm["text_token_size"]),
                }
            return {
                "kind": COSYVOICE2_KIND,
                "qwen2": self._text_model(llm),
                "speech_token_size": llm["speech_token_size"],
                "mix_ratio": llm.get("mix_ratio", [5, 15]),
                "frame_rate": token_rate_of(self.content) or 25.0,
                # Not a published setting.
                "text_normalization": self.content.get("text_normalization"),
            }
        except KeyError as error:
            raise ValueError(f"{self.path}: llm lacks {error}: add it") from error

    def _text_model(self, llm: Mapping[str, Any]) -> dict[str, Any]:
        folder = (llm.get("llm") or {}).get("pretrain_path")
        if folder and (Path(folder) / "config.json").is_file():
            return read_json_object(Path(folder) / "config.json")
        return {}  # the published sizes

    @property
    def loss(self) -> tuple[float, bool]:
        """The label smoothing, and whether losses are means over targets."""
        llm = {} if self._is_of_flow else self._part("llm")
        return float(llm.get("lsm_weight", 0)), bool(llm.get("length_normalized_loss", True))

    def training(self, part: str = NETWORK) -> dict[str, Any]:
        """Return `train_conf`, the settings of a run, or those of another part."""
        return dict(self._settings_of(part))

    def training_flags(self) -> dict[str, Any]:
        """Return the settings of a run as flags of `EpochTrainingArguments`.

        Raises:
            ValueError: If one is unknown.
        """
        conf = self.training()
        schedule, warmup = conf.get("scheduler", "warmuplr"), conf.get("scheduler_conf") or {}
        optimizer = self.optimizer()
        return {
            "learning_rate": self.learning_rate(),
            "weight_decay": optimizer.weight_decay,
            "adam_beta1": optimizer.betas[0],
            "adam_beta2": optimizer.betas[1],
            "adam_epsilon": optimizer.eps,
            "schedule": schedule,
            "warmup_steps": warmup.get("warmup_steps", 25_000 if schedule == "warmuplr" else 0),
            "hold_steps": warmup.get("hold_steps", 0),
            "decay_rate": warmup.get("decay_rate", 0.5),
            "min_learning_rate": warmup.get("min_lr", 0.0),
            "max_epochs": conf.get("max_epoch", 200),
            "max_grad_norm": conf.get("grad_clip", 5),
            "gradient_accumulation_steps": conf.get("accum_grad", 1),
            "logging_steps": conf.get("log_interval", 100),
            "seed": 1986,
        }

    def language_model_flags(self) -> dict[str, Any]:
        """Return the flags of `TokenTrainingArguments` that only language models have."""
        smoothing, per_target = self.loss
        return {
            "label_smoothing": smoothing,
            "length_normalized_loss": per_target,
            # Not published settings.
            "alignment_weight": float(self.training().get("alignment_weight", 0)),
            "history_noise": float(self.training().get("history_noise", 0)),
            "training_cfg": float(self.training().get("training_cfg", 0)),
        }

    def prior_steps(self) -> int:
        """Return `prior_steps` of `FlowTrainer`. Not a published setting.

        Raises:
            ValueError: If it is negative.
        """
        steps = int(self._settings_of(NETWORK).get("prior_steps", 0))
        if steps < 0:
            raise ValueError(f"{self.path}: prior_steps {steps}: use 0 or more")
        return steps

    def save_steps(self, part: str = NETWORK) -> int | None:
        """Return `save_per_step`, updates between checkpoints within an epoch. None: none."""
        every = int(self._settings_of(part).get("save_per_step", -1))
        return every if every > 0 else None

    def learning_rate(
        self, part: str = NETWORK, suffix: str = "", otherwise: float = 1e-3
    ) -> float:
        """Return the highest learning rate; arguments as for `optimizer`."""
        settings = self._settings_of(part).get(f"optim_conf{suffix}") or {}
        return float(settings.get("lr", otherwise))

    def optimizer(
        self,
        part: str = NETWORK,
        suffix: str = "",
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> Adam:
        """Return the optimiser that `optim` and `optim_conf` tell.

        Args:
            part: `train_conf`, or that of a vocoder.
            suffix: "_d" for that of a discriminator.
            betas: Unless it tells them.

        Raises:
            ValueError: If it is none that is known, or has an unknown setting.
        """
        conf = self._settings_of(part)
        name, settings = conf.get(f"optim{suffix}", "adam"), conf.get(f"optim_conf{suffix}") or {}
        if name not in ("adam", "adamw"):
            raise ValueError(f"{self.path}: optim{suffix} {name!r}: choose adam or adamw")
        unknown = settings.keys() - {"lr", "betas", "eps", "weight_decay"}
        if unknown:
            raise ValueError(
                f"{self.path}: optim_conf{suffix} has {min(unknown)}, which is not known here: "
                "leave it out"
            )
        first, second = settings.get("betas", betas)
        # torch's AdamW decays weights unless told otherwise, its Adam does not.
        decay = settings.get("weight_decay", 0.01 if name == "adamw" else 0.0)
        return Adam(
            betas=(float(first), float(second)),
            eps=float(settings.get("eps", 1e-8)),
            weight_decay=float(decay),
            is_decoupled=name == "adamw",
        )

    def vocoder_flags(self) -> dict[str, Any]:
        """Return the settings of the training of a vocoder, from `train_conf_gan`.

        Beside those of `training_flags` that differ: `adversarial_from` and `multi_scale` of
        `VocoderTraining`, and `truncate_length` and `max_frames_in_batch` of the data, None if they
        are not told.

        Raises:
            ValueError: If a setting is not possible.
        """
        conf, truncate = self._settings_of(VOCODER), self.content.get("truncate")
        for name, only in (("scheduler", "constantlr"), ("scheduler_d", "constantlr")):
            if conf.get(name, only) != only:
                raise ValueError(
                    f"{self.path}: {name} {conf[name]} of {VOCODER}: vocoders are trained with "
                    f"{only} only"
                )
        if conf.get("accum_grad", 1) != 1:
            raise ValueError(f"{self.path}: accum_grad of {VOCODER} has to be 1")
        return {
            "learning_rate": self.learning_rate(VOCODER, otherwise=2e-4),
            "max_epochs": conf.get("max_epoch", 200),
            "max_grad_norm": conf.get("grad_clip", 5),
            "logging_steps": conf.get("log_interval", 100),
            "adversarial_from": int(conf.get("adversarial_from", 0)),
            "multi_scale": bool(conf.get("multi_scale", False)),
            "max_frames_in_batch": conf.get("max_frames_in_batch"),
            "truncate_length": (truncate or {}).get("truncate_length"),
        }

    def pipeline(self) -> PipelineOptions:
        """Return the options of the data pipeline."""
        is_first = not self._is_of_flow and self.kind == COSYVOICE_KIND
        options = COSYVOICE if is_first else COSYVOICE2
        changes = {
            name: self.content[step][name]
            for step, names in _PIPELINE.items()
            if isinstance(self.content.get(step), dict)
            for name in names
            if name in self.content[step]
        }
        size = None if self._is_of_flow else self._part("llm").get("speech_token_size")
        return replace(options, **changes, speech_token_size=size)

    @property
    def _is_of_flow(self) -> bool:
        """Whether it is that of a flow alone, as Step-Audio's."""
        return "llm" not in self.content and "flow" in self.content

    def _settings_of(self, part: str) -> Mapping[str, Any]:
        # That of vocoders may be missing.
        return (self.content.get(part) or {}) if part == VOCODER else self._part(part)

    def _part(self, name: str) -> Mapping[str, Any]:
        part = self.content.get(name)
        if not isinstance(part, dict):
            raise ValueError(f"{self.path} has no {name}: name a configuration of CosyVoice")
        return part
