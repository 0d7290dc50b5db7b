"""A whole codec training run: data, clock, checkpoints, evaluation, export."""

import dataclasses
import json
import logging
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from sled.codec import CodecParts
from sled.codec.encodec.config import EncodecConfig
from sled.codec.encodec.network import Encodec
from sled.codec.folder import CodecModel
from sled.codec.spectral.config import SpectralConfig
from sled.codec.spectral.network import Spectral
from sled.data.cache.predictions import Predictions
from sled.data.manifests import load_cuts
from sled.training.checkpoints.state import load_state, save_state
from sled.training.clock import training_seconds
from sled.training.codec.adaptation import DecoderAdapter
from sled.training.codec.config import CodecTrainingConfig
from sled.training.codec.data import Segments, SegmentSampler
from sled.training.codec.encodec import EncodecLearner
from sled.training.codec.evaluation import (
    CodecReport,
    evaluate_codec,
    evaluate_predictions,
    load_eval_clips,
)
from sled.training.codec.learner import CodecLearner
from sled.training.codec.predictions import (
    PredictionSampler,
    load_prediction_clips,
    open_predictions,
)
from sled.training.codec.spectral import SpectralLearner

logger = logging.getLogger(__name__)

STATE_FILE = "training_state.pt"

# With this file beside the codec, transformers' AutoProcessor reads the folder too.
_FEATURE_EXTRACTOR = {
    "feature_extractor_type": "EncodecFeatureExtractor",
    "feature_size": 1,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": True,
    "chunk_length_s": None,
    "overlap": None,
}

# Settings that may differ between a run and its continuation: they do not affect the result, or are
# paths of files that may have been moved.
FREE_SETTINGS = {
    "output_dir",
    "train_manifest",
    "eval_manifest",
    "eval_predictions",
    "device",
    "max_minutes",
    "max_cached_hours",
    "save_steps",
    "eval_steps",
    "logging_steps",
    "max_eval_cuts",
}


class _SegmentSizes(TypedDict):
    sample_rate: int
    segment_samples: int
    loudness_db: float
    max_cached_hours: float
    with_voice: bool


class CodecTrainer:
    """Trains a codec, or adapts one, and saves it in `config.output_dir`.

    A folder that holds the state of an earlier run is continued, with the same result as an
    uninterrupted one (unless `max_minutes` ties the schedule to time).

    Args:
        config: settings of the run.

    Raises:
        ValueError: if a manifest, the codec to adapt or the predictions cannot be used.
        OSError: if the folder cannot be written.
    """

    def __init__(self, config: CodecTrainingConfig) -> None:
        self.config = config
        self.output_dir = Path(config.output_dir)
        self.output_dir.mkdir(parents=True, exist_ok=True)
        self.origin = CodecParts.load(config.finetune_path) if config.finetune_path else None
        if self.origin is not None and not isinstance(self.origin.model, Encodec | Spectral):
            raise ValueError(
                f"{config.finetune_path} is a codec of speech tokens: flow and vocoder are not "
                "trained by this command"
            )
        architecture = self._architecture()
        self.sample_rate, hop_length = architecture.sampling_rate, architecture.hop_length
        frames = max(1, round(config.segment_s * self.sample_rate / hop_length))
        self.predictions = (
            None if config.predictions is None else self._open_predictions(config.predictions)
        )
        sizes = _SegmentSizes(
            sample_rate=self.sample_rate,
            segment_samples=frames * hop_length,
            loudness_db=config.loudness_db,
            max_cached_hours=config.max_cached_hours,
            with_voice=isinstance(architecture, SpectralConfig),
        )
        cuts = load_cuts(config.train_manifest)
        self.sampler = (
            SegmentSampler(
                cuts,
                loudness_jitter_db=config.loudness_jitter_db,
                with_letters=config.ctc_weight > 0,
                **sizes,
            )
            if self.predictions is None
            else PredictionSampler(cuts, self.predictions, hop_length, **sizes)
        )
        eval_cuts = load_cuts(config.eval_manifest).subset(first=config.max_eval_cuts)
        self.eval_clips = load_eval_clips(eval_cuts, self.sample_rate, config.loudness_db)
        self.eval_prediction_clips = (
            None
            if config.eval_predictions is None
            else load_prediction_clips(
                load_cuts(config.eval_manifest),
                self._open_predictions(config.eval_predictions),
                hop_length,
                self.sample_rate,
                config.max_eval_cuts,
            )
        )
        self.generator = torch.Generator().manual_seed(config.seed)
        self.learner = self._make_learner()
        self.trained_s = 0.0

    def _architecture(self) -> EncodecConfig | SpectralConfig:
        if self.origin is not None:
            assert isinstance(self.origin.model, Encodec | Spectral)  # checked above
            return self.origin.model.config
        if self.config.family == "spectral":
            return self.config.spectral_config()
        return self.config.encodec_config()

    def _make_learner(self) -> CodecLearner[Any]:
        origin, parts = self.origin, (self.config, self._draw_batch, self.generator)
        if origin is not None:
            if isinstance(origin.model, Spectral):
                return SpectralLearner(*parts, origin.model)
            return DecoderAdapter(*parts, origin)
        if self.config.family == "spectral":
            times = self.sampler.letter_times
            return SpectralLearner(*parts, letters=0 if times is None else len(times.alphabet))
        return EncodecLearner(*parts)

    def _open_predictions(self, folder: str) -> Predictions:
        assert self.origin is not None
        return open_predictions(folder, self.origin.assemble())

    def _draw_batch(self) -> Segments:
        segments = self.sampler.batch(self.config.batch_size, self.generator)
        return segments.to(self.config.device)

    @property
    def progress(self) -> float:
        """Fraction of the run that is done: of its steps or its minutes, whichever is further."""
        done = self.learner.step / self.config.max_steps
        if self.config.max_minutes > 0:
            done = max(done, self.trained_s / (60 * self.config.max_minutes))
        return min(done, 1.0)

    def train(self) -> CodecReport:
        """Run, or continue, until the schedule ends; then evaluate and export the codec.

        Raises:
            ValueError: if the state in the folder belongs to a run with other settings.
        """
        self.resume()
        config, learner = self.config, self.learner
        writer = SummaryWriter(str(self.output_dir / "tensorboard"), purge_step=learner.step)
        bar = tqdm(
            desc="codec", total=config.max_steps, initial=learner.step, unit="step", disable=None
        )
        with writer, bar:
            while self.progress < 1:
                started = training_seconds(config.device)
                losses = learner.train_step(self.progress)
                self.trained_s += training_seconds(config.device) - started
                bar.update()
                if learner.step % config.logging_steps == 0:
                    self._log(writer, bar, losses)
                if learner.step % config.save_steps == 0:
                    self.save_state()
                if learner.step % config.eval_steps == 0 and self.progress < 1:
                    model = self.export() if learner.exportable else learner.averaged_model()
                    self._evaluate(model, writer)
            self.save_state()
            return self._evaluate(self.export(), writer)

    def _log(self, writer: SummaryWriter, bar: tqdm, losses: dict[str, float]) -> None:
        step = self.learner.step
        for name, value in losses.items():
            writer.add_scalar(f"loss/{name}", value, step)
        learning_rate = self.learner.optimizer.param_groups[0]["lr"]
        writer.add_scalar("schedule/learning_rate", learning_rate, step)
        writer.add_scalar("schedule/step_s", self.trained_s / step, step)
        shown = {name: f"{value:.3f}" for name, value in losses.items()}
        bar.set_postfix(shown, refresh=False)
        if bar.disable:  # no terminal
            left_s = self.trained_s * (1 / self.progress - 1)
            parts = [f"{name} {value}" for name, value in shown.items()]
            parts.append(f"{tqdm.format_interval(left_s)} left")
            logger.info("codec step %d of %d: %s", step, self.config.max_steps, ", ".join(parts))

    def _evaluate(self, model: CodecModel, writer: SummaryWriter) -> CodecReport:
        learner, where = self.learner, (self.sample_rate, model.device)
        report = evaluate_codec(partial(learner.reconstruct, model), self.eval_clips, *where)
        if self.eval_prediction_clips is not None:
            decode = partial(learner.decode, model)
            spoken = evaluate_predictions(decode, self.eval_prediction_clips, *where)
            report = dataclasses.replace(report, predictions=spoken)
        report.write(writer, self.learner.step)
        logger.info("step %d: %s", self.learner.step, report)
        return report

    def export(self) -> CodecModel:
        """Save the codec so that `load_codec` reads the folder, and return it.

        Raises:
            ValueError: if the run has no codebooks yet.
        """
        model: CodecModel = self.learner.finished_model()
        parts = (
            CodecParts(model)
            if self.origin is None
            else dataclasses.replace(self.origin, model=model)
        )
        parts.save(self.output_dir)
        if isinstance(model, Encodec):
            text = json.dumps(_FEATURE_EXTRACTOR | {"sampling_rate": self.sample_rate}, indent=2)
            path = self.output_dir / "preprocessor_config.json"
            path.write_text(text + "\n", encoding="utf-8")
        return model

    def save_state(self) -> None:
        """Write everything needed to continue; an interrupted write leaves the older file."""
        state = {
            **self.learner.state_dict(),
            "settings": self._lasting_settings(),
            "trained_s": self.trained_s,
            "generator": self.generator.get_state(),
        }
        save_state(state, self.output_dir / STATE_FILE)

    def resume(self) -> None:
        """Continue from the state in the output folder, if there is one.

        Raises:
            ValueError: if it is damaged, or belongs to a run with other settings.
        """
        path = self.output_dir / STATE_FILE
        if not path.exists():
            return
        state = load_state(path, self.config.device)
        wanted = self._lasting_settings()
        # Settings that are missing in an older state had their present defaults.
        defaults = {setting.name: setting.default for setting in dataclasses.fields(self.config)}
        saved = defaults | state["settings"]
        changed = sorted(key for key in wanted if saved[key] != wanted[key])
        if changed:
            raise ValueError(
                f"{path} is of a run with other settings ({', '.join(changed)}): choose another "
                "--output, or delete the file to start again"
            )
        self.learner.load_state_dict(state)
        self.generator.set_state(state["generator"].cpu())
        self.trained_s = state["trained_s"]
        logger.info("continuing %s at step %d", self.output_dir, self.learner.step)

    def _lasting_settings(self) -> dict[str, Any]:
        settings = dataclasses.asdict(self.config)
        if self.predictions is not None:  # what it is, wherever it lies
            settings["predictions"] = dataclasses.asdict(self.predictions.record)
        return {key: value for key, value in settings.items() if key not in FREE_SETTINGS}
