"""A whole training run of a speech tokenizer: data, schedule, checkpoints, validation, export."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from sled.codec.speech_tokens.export import export_tokenizer
from sled.codec.speech_tokens.files import PUBLISHED_FILES, save_tokenizer
from sled.data.tokens.spelling import edit_distance, greedy_symbols
from sled.files.progress import Progress
from sled.training.checkpoints.state import load_state, save_state
from sled.training.clock import training_seconds
from sled.training.tokenizer.config import TokenizerTrainingConfig
from sled.training.tokenizer.data import (
    Alphabet,
    Batch,
    TrainingClips,
    evaluation_batches,
    open_clips,
)
from sled.training.tokenizer.model import Spelling, SpellingTokenizer

logger = logging.getLogger(__name__)

STATE_FILE, SYMBOLS_FILE = "training_state.pt", "symbols.json"
ONNX_FILE = PUBLISHED_FILES[0]

_MAX_NORM = 1.0
_MASKS = 2
_SPREAD_WEIGHT = 0.3
# The learning rate ends at this share of its peak.
_LAST_RATE = 0.02
# Settings that may differ between a run and its continuation.
_FREE = {
    *("train_manifest", "eval_manifest", "output_dir", "device", "max_minutes", "num_workers"),
    *("max_cached_hours", "logging_steps", "save_steps", "eval_steps", "max_eval_cuts"),
}


@dataclass(frozen=True)
class TokenizerReport:
    """Figures of a validation.

    Attributes:
        loss: CTC loss in nats per symbol.
        symbol_error: Wrong symbols per symbol of the texts, without a language model.
        token_rate: Tokens per second.
        tokens_used: Different tokens among all of the test set.
    """

    loss: float
    symbol_error: float
    token_rate: float
    tokens_used: int

    def __str__(self) -> str:
        return (
            f"loss {self.loss:.3f} per symbol, {self.symbol_error:.1%} of symbols wrong, "
            f"{self.token_rate:.1f} tokens a second, {self.tokens_used} different tokens"
        )


class TokenizerTrainer:
    """Trains a speech tokenizer and saves it in `config.output_dir`.

    A folder that holds the state of an earlier run is continued, with the same result as an
    uninterrupted one (unless `max_minutes` ties the schedule to time).

    Args:
        config: Settings of the run; `device` is one of torch.

    Raises:
        ValueError: If a manifest cannot be used.
        OSError: If the folder cannot be written.
    """

    def __init__(self, config: TokenizerTrainingConfig) -> None:
        self.config, self.output_dir = config, Path(config.output_dir)
        self.output_dir.mkdir(parents=True, exist_ok=True)
        self.sizes = config.sizes()
        train = open_clips(Path(config.train_manifest), config.max_duration_s)
        self.alphabet = Alphabet.of(train, config.text_normalization)
        self._evaluated = open_clips(Path(config.eval_manifest), config.max_duration_s).subset(
            first=config.max_eval_cuts
        )
        self._clips = TrainingClips(
            Path(config.train_manifest),
            self.alphabet,
            self.sizes.n_mels,
            max_duration_s=config.max_duration_s,
            batch_duration_s=config.batch_duration_s,
            num_workers=config.num_workers,
            seed=config.seed,
            max_cached_hours=config.max_cached_hours,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = SpellingTokenizer(
                self.sizes, config.num_decoder_layers, self.alphabet.size
            ).to(config.device)
        matrices = [weight for weight in self.model.parameters() if weight.ndim > 1]
        others = [weight for weight in self.model.parameters() if weight.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": config.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            config.learning_rate,
            betas=(0.9, 0.98),
        )
        self.step, self.trained_s = 0, 0.0
        self._epoch_lengths: list[int] = []

    @property
    def progress(self) -> float:
        """Fraction of the run that is done: of its steps or its minutes, whichever is further."""
        done = self.step / self.config.max_steps
        if self.config.max_minutes > 0:
            done = max(done, self.trained_s / (60 * self.config.max_minutes))
        return min(done, 1.0)

    def train(self) -> TokenizerReport:
        """Run, or continue, until the schedule ends; then validate and export.

        Raises:
            ValueError: If the state in the folder belongs to a run with other settings.
        """
        config = self.config
        self._resume()
        writer = SummaryWriter(str(self.output_dir / "tensorboard"), purge_step=self.step)
        batches = self._clips.batches(self.step, self._epoch_lengths)
        with writer, Progress("tokenizer", config.max_steps, "step", self.step) as progress:
            while self.progress < 1:
                started = training_seconds(config.device)
                loss = self._train_step(next(batches))
                self.trained_s += training_seconds(config.device) - started
                progress.advance(note=f"loss {loss:.3f} per symbol")
                if self.step % config.logging_steps == 0:
                    writer.add_scalar("loss/train", loss, self.step)
                    logger.info("step %d: loss %.3f per symbol", self.step, loss)
                if self.step % config.save_steps == 0:
                    self._save_state()
                if self.step % config.eval_steps == 0 and self.progress < 1:
                    self._validate(writer)
            self._save_state()
            report = self._validate(writer)
        self._export(report)
        return report

    def _train_step(self, batch: Batch) -> float:
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * self._rate()
        self.model.train()
        mel = self._masked(batch).to(config.device)
        spelling = self._spell(mel, batch.num_frames)
        loss = spelling.loss(batch.symbols)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss + _SPREAD_WEIGHT * spelling.spread.to(loss.device))
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), _MAX_NORM)
        if torch.isfinite(norm):
            self.optimizer.step()
        self.step += 1
        return float(loss.detach())

    def _spell(self, mel: Tensor, num_frames: Tensor) -> Spelling:
        config = self.config
        kind = config.device.partition(":")[0]
        with torch.autocast(kind, torch.bfloat16, enabled=config.bf16):
            spelling: Spelling = self.model(mel, num_frames.to(config.device))
        return spelling

    def _rate(self) -> float:
        """Learning rate as a share of its peak: linear warm-up, then half a cosine."""
        warm = min(1.0, (self.step + 1) / max(1, self.config.warmup_steps))
        decay = 0.5 * (1 + math.cos(math.pi * self.progress))
        return warm * (_LAST_RATE + (1 - _LAST_RATE) * decay)

    def _masked(self, batch: Batch) -> Tensor:
        """Mask spans of time and of frequency with the mean (Park et al. 2019, SpecAugment)."""
        # Seeded by the step: a continued run masks the same.
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)
        mel = batch.mel.clone()
        longest = round(100 * self.config.time_mask_s)
        for row, num_frames in zip(mel, batch.num_frames.tolist(), strict=True):
            mean = row[:, :num_frames].mean()
            for _ in range(_MASKS):
                first, size = _span(num_frames, min(longest, num_frames // 4), generator)
                row[:, first : first + size] = mean
                first, size = _span(len(row), self.config.frequency_mask, generator)
                row[first : first + size] = mean
        return mel

    @torch.inference_mode()
    def _validate(self, writer: SummaryWriter) -> TokenizerReport:
        self.model.eval()
        loss = wrong = symbols = frames = tokens = 0.0
        used: set[int] = set()
        max_frames = round(100 * self.config.batch_duration_s)
        for batch in evaluation_batches(
            self._evaluated, self.alphabet, self.sizes.n_mels, max_frames
        ):
            spelling = self._spell(batch.mel.to(self.config.device), batch.num_frames)
            count = sum(map(len, batch.symbols))
            loss += float(spelling.loss(batch.symbols)) * count
            symbols += count
            frames += float(batch.num_frames.sum())
            tokens += float(spelling.num_tokens.sum())
            best = spelling.log_probs.argmax(-1).cpu()
            for row, length, wanted in zip(
                best, spelling.lengths.tolist(), batch.symbols, strict=True
            ):
                said = greedy_symbols(row[:length].tolist())
                wrong += edit_distance(said, wanted.tolist())
            for row, length in zip(
                spelling.tokens.cpu(), spelling.num_tokens.tolist(), strict=True
            ):
                used.update(row[:length].tolist())
        if not symbols:
            raise ValueError(f"{self.config.eval_manifest} has no texts of letters to validate on")
        report = TokenizerReport(loss / symbols, wrong / symbols, 100 * tokens / frames, len(used))
        for name, value in dataclasses.asdict(report).items():
            writer.add_scalar(f"eval/{name}", value, self.step)
        logger.info("step %d: %s", self.step, report)
        return report

    def _export(self, report: TokenizerReport) -> None:
        """Write the tokenizer as a folder, as ONNX, and what it was trained to spell."""
        network = self.model.network.cpu().eval()
        save_tokenizer(network, self.output_dir)
        export_tokenizer(network, self.output_dir / ONNX_FILE)
        told = dataclasses.asdict(self.alphabet) | {"validation": dataclasses.asdict(report)}
        text = json.dumps(told, ensure_ascii=False, indent=2) + "\n"
        (self.output_dir / SYMBOLS_FILE).write_text(text, encoding="utf-8")

    def _save_state(self) -> None:
        """Write everything needed to continue; an interrupted write leaves the older file."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "trained_s": self.trained_s,
            "epoch_lengths": self._clips.epoch_lengths,
            "symbols": list(self.alphabet.symbols),
            "settings": self._lasting_settings(),
        }
        save_state(state, self.output_dir / STATE_FILE)

    def _resume(self) -> None:
        path = self.output_dir / STATE_FILE
        if not path.is_file():
            return
        state = load_state(path, self.config.device)
        wanted = self._lasting_settings()
        changed = sorted(key for key in wanted if state["settings"].get(key) != wanted[key])
        if state["symbols"] != list(self.alphabet.symbols):
            changed.append("the letters of the texts")
        if changed:
            raise ValueError(
                f"{path} is of a run with other settings ({', '.join(changed)}): choose another "
                "--output, or delete the file to start again"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.trained_s = state["step"], state["trained_s"]
        self._epoch_lengths = state["epoch_lengths"]
        logger.info("continuing %s at step %d", self.output_dir, self.step)

    def _lasting_settings(self) -> dict[str, Any]:
        settings = dataclasses.asdict(self.config)
        return {key: value for key, value in settings.items() if key not in _FREE}


def _span(length: int, most: int, generator: torch.Generator) -> tuple[int, int]:
    """Draw the start and the size of a span within a length."""
    size = int(torch.randint(min(most, length) + 1, (), generator=generator))
    first = int(torch.randint(length - size + 1, (), generator=generator))
    return first, size
