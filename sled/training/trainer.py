"""transformers' Trainer, taught what a SLED batch is, and to lose nothing."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import TrainerState
from transformers.integrations import is_deepspeed_zero3_enabled
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import EvalLoopOutput

from sled.codec import Codec
from sled.data.dataset import SpeechDataset, collate, length_mask
from sled.data.sampling import SpeechBatches, TrainingBatches
from sled.model.guided_attention import SpokenTokens
from sled.model.layout import Layout
from sled.model.lm import SpeechLlamaOutput
from sled.training.arguments import SledTrainingArguments
from sled.training.callbacks.inactive_units import InactiveUnits
from sled.training.callbacks.progress import LOSS_PARTS, Progress
from sled.training.callbacks.text_gap import TextGap, with_other_endings
from sled.training.checkpoints.lora import unwrap
from sled.training.checkpoints.moving_average import WeightAverage
from sled.training.checkpoints.saving import CurrentIntervals, WholeCheckpointTrainer
from sled.training.distillation import GuidedTeacher
from sled.training.units import batch_units, forget_beginnings

BATCHES_FILE = "batches.json"
FLAGS_FILE = "training_flags.json"
# These decide, beside the corpus and the number of processes, what is in which batch.
BATCH_FLAGS = (
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "max_frames_per_batch",
    "quadratic_duration_s",
    "group_by_speech_length",
    "seed",
)
EVAL_NOISE_SEED = 20_130


class SledTrainer(WholeCheckpointTrainer):
    """Trains on `SpeechBatches`, weighs every frame alike, and logs the parts of the loss.

    However a global batch is cut up, into processes or accumulated steps, its loss is the mean over
    all its frames (and stop decisions). A run that continues from a checkpoint does what it would
    have done.

    Args:
        codec: Gives the latents; stays in float32 and outside the model.
        train_batches: What to train on.
        eval_batches: What to evaluate on.
        flags: All flags of the run, which are kept beside its weights.
        teacher: Gives the states to learn instead of frames, if guidance is to be distilled.
        **kwargs: As for `transformers.Trainer`.
    """

    args: SledTrainingArguments
    train_dataset: SpeechDataset

    def __init__(
        self,
        *,
        codec: Codec,
        train_batches: SpeechBatches,
        eval_batches: SpeechBatches | None = None,
        flags: Mapping[str, Any],
        teacher: GuidedTeacher | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_collator=collate, **kwargs)
        self.codec, self.teacher = codec, teacher
        self.train_batches = TrainingBatches(train_batches)
        self.eval_batches = eval_batches
        self.flags = flags
        # compute_loss divides by the frames of the whole step; nothing is left to be divided.
        self.model_accepts_loss_kwargs = True
        # The batches know by themselves where to go on.
        self.args.ignore_data_skip = True
        half = torch.bfloat16 if self.args.bf16 else torch.float16 if self.args.fp16 else None
        self.progress = Progress(unwrap(self.model), self.args.device, half or self.model.dtype)
        self._last_logged = 0
        self.add_callback(CurrentIntervals())
        self.average: WeightAverage | None = None
        if self.args.ema_decay or unwrap(self.model) is not self.model:
            self._require_whole_weights()
        if self.args.ema_decay:
            self.average = WeightAverage(self.model, self.args.ema_decay)
            self.add_callback(self.average)

    def _require_whole_weights(self) -> None:
        if self.is_fsdp_enabled or is_deepspeed_zero3_enabled():
            raise ValueError(
                "--ema_decay and --lora_rank need all weights on each process: leave them out "
                "under FSDP and ZeRO-3 (scripts/average_checkpoints.py averages afterwards)"
            )

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        if self.is_fsdp_enabled:
            # Autocast serves here as it does without sharding: FSDP's own mixed precision rounds
            # all that goes in and out of the model, the true latents and the loss among it.
            self.accelerator.state.fsdp_plugin.mixed_precision_policy = None

    def run(self, checkpoint: Path | None) -> None:
        """Train up to the last step, from a checkpoint on if there is one.

        Raises:
            ValueError: If the loss is not a number any more, a sample cannot be read, or a data
                worker dies.
            OSError: If a checkpoint cannot be written.
        """
        if checkpoint is not None:
            self.seek(checkpoint)
            if self.state.global_step >= self.args.max_steps:
                # Stopped after the last step, before the trained model was saved.
                self._load_from_checkpoint(str(checkpoint))
                return
        if self.args.should_save:
            self.write_flags(Path(self.args.output_dir))
        try:
            self.train(resume_from_checkpoint=checkpoint and str(checkpoint))
        except ValueError as error:
            if not str(error).startswith("Caught ValueError in DataLoader worker"):
                raise
            # The worker's traceback comes before what it has to say.
            raise ValueError(str(error).rpartition("\nValueError: ")[2].strip()) from error
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):
                raise
            raise ValueError(
                f"a data worker died ({str(error).strip()}), for want of memory perhaps: start the "
                "same command again to continue from the last checkpoint, if need be with fewer "
                "--dataloader_num_workers"
            ) from error
        finally:
            torch.set_flush_denormal(False)  # as each step asked for it

    # Batches.

    def get_train_dataloader(self) -> DataLoader:
        return self._loader(self.train_batches, self.train_dataset)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader:
        assert self.eval_batches is not None, "there is nothing to evaluate on"
        spoken = self.train_dataset.with_spoken_tokens
        tokenizer = self.train_dataset.tokenizer
        dataset = SpeechDataset(tokenizer, self.codec, with_spoken_tokens=spoken)
        return self._loader(list(self.eval_batches.epoch(0)), dataset)

    def _loader(self, batches: Any, dataset: SpeechDataset) -> DataLoader:
        # Not handed to accelerate: the batches are this process's own share already.
        return DataLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=collate,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory and torch.cuda.is_available(),
            persistent_workers=self.args.dataloader_persistent_workers,
            prefetch_factor=self.args.dataloader_prefetch_factor,
            # A loader draws its workers' seed on starting: not from training's randomness.
            generator=torch.Generator().manual_seed(self.args.seed),
        )

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Move a batch to the device; audio stays in float32, whatever DeepSpeed computes in."""
        device = self.args.device
        return send_to_device(inputs, device, non_blocking=device.type == "cuda")

    # The loss.

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        # Gradients of what is nearly switched off are below float32's normal range, where a
        # processor is many times slower. ONNX Runtime, which some texts ask for, undoes this.
        torch.set_flush_denormal(True)
        return super().training_step(*args, **kwargs)

    def _forward(self, model: nn.Module, inputs: dict[str, Any]) -> SpeechLlamaOutput:
        """Losses of a batch, each the mean over this batch alone."""
        keeps_offline = model.training and torch.rand(()).item() < self.args.offline_share
        latents, history = self._latents(inputs, model.training)
        batch = {
            "input_ids": inputs["input_ids"],
            "attention_mask": inputs["attention_mask"],
            "latents": latents,
            "latent_mask": length_mask(inputs["num_frames"]),
            "layout": Layout() if keeps_offline else None,
        }
        with self.accelerator.autocast():  # not around the codec
            if self.teacher is not None:
                batch["guided_states"] = self.teacher.states(**batch)
            return model(**batch, spoken=self._spoken(inputs), history=history)

    def _latents(self, inputs: dict[str, Any], training: bool) -> tuple[Tensor, Tensor | None]:
        """True latents of a batch, and what the model hears of them, if that is something else."""
        units, channel = batch_units(self.codec, inputs), self.codec.token_channel
        if not training or channel is None:
            return units, None
        tokens, numbers = inputs["spoken_ids"], inputs["spoken_tokens"]
        known = forget_beginnings(tokens, inputs["num_frames"], self.args.untold_share)
        return units, channel.write(units, known, numbers)

    def _spoken(self, inputs: dict[str, Any]) -> SpokenTokens | None:
        """Which tokens are being said, if that is taught."""
        if not self.args.alignment_weight or "spoken_tokens" not in inputs:
            return None
        layer = self.args.alignment_layer
        if layer is None:
            layer = unwrap(self.model).config.architecture.num_hidden_layers // 2
        return SpokenTokens(inputs["spoken_tokens"], layer)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        output = self._forward(model, inputs)
        assert isinstance(num_items_in_batch, Tensor), "frames and stops of the step are unknown"
        assert output.num_frames is not None
        num_stops = output.num_frames + len(inputs["num_frames"])
        # Gradients are averaged over processes afterwards, hence the factor.
        all_frames, all_stops = num_items_in_batch
        frame_share = output.num_frames * self.args.world_size / all_frames
        stop_share = num_stops * self.args.world_size / all_stops
        self.progress.add(output, frame_share, stop_share)
        assert output.score_loss is not None and output.alignment_loss is not None
        per_frame = output.score_loss + self.args.alignment_weight * output.alignment_loss
        loss = per_frame * frame_share + output.stop_loss * stop_share
        return (loss, output) if return_outputs else loss

    def _get_num_items_in_batch(
        self, batch_samples: list[dict[str, Any]], device: torch.device
    ) -> Tensor:
        """Frames and stop decisions of one optimiser step, over all processes: [2]."""
        frames = sum(int(batch["num_frames"].sum()) for batch in batch_samples)
        samples = sum(len(batch["num_frames"]) for batch in batch_samples)
        counts = torch.tensor([frames, frames + samples], device=device)
        return self.accelerator.reduce(counts, "sum")

    # The log.

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the parts of the loss, the speed, and where in the corpus training is.

        Raises:
            ValueError: If the loss is not a number any more.
        """
        if "loss" in logs:
            num_steps = self.state.global_step - self._last_logged
            self._last_logged = self.state.global_step
            logs |= self.progress.report(num_steps, self.accelerator)
            if not self.args.alignment_weight:
                logs.pop("alignment_loss", None)
            self.state.epoch = self.train_batches.epochs_at(self._batches_done())
            if not math.isfinite(logs["loss"]):
                raise ValueError(
                    f"the loss is {logs['loss']} at step {self.state.global_step}: continue from "
                    "the last checkpoint (start the same command again) with a lower "
                    "--learning_rate or --max_grad_norm"
                )
        super().log(logs, *args, **kwargs)

    def _batches_done(self) -> int:
        return self.state.global_step * self.args.gradient_accumulation_steps

    # Evaluation.

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """As always, but of the averaged weights, if they are kept."""
        with nullcontext() if self.average is None else self.average.applied():
            return super().evaluate(*args, **kwargs)

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Mean losses over all frames (and stop decisions), with noise that is always the same.

        Also how much is made of the text, see `callbacks.text_gap`, and the share of the
        head's units that are off, see `callbacks.inactive_units`.
        """
        start = time.perf_counter()
        model = self.model  # DDP has nothing to add without gradients; FSDP is the model itself
        model.eval()
        total = torch.zeros(len(LOSS_PARTS) + 3, device=self.args.device, dtype=torch.float64)
        text_gap = TextGap(self.args.device)
        inactive = InactiveUnits(unwrap(self.model).scoreloss, self.args.device)
        devices = [self.args.device] if self.args.device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.no_grad(), inactive:
            torch.manual_seed(EVAL_NOISE_SEED)
            for inputs in dataloader:
                inputs = self._prepare_inputs(inputs)
                other = None
                if len(inputs["num_frames"]) > 1:
                    with torch.random.fork_rng(devices):  # the text's own score has this noise too
                        other = self._forward(model, with_other_endings(inputs))
                output = self._forward(model, inputs)
                if other is not None:
                    longest_s = float(inputs["num_frames"].max()) / self.codec.frame_rate
                    text_gap.add(other, output, longest_s)
                frames = output["num_frames"]
                stops = frames + len(inputs["num_frames"])
                weights = [stops if part == "stop_loss" else frames for part in LOSS_PARTS]
                sums = [float(output[p]) * w for p, w in zip(LOSS_PARTS, weights, strict=True)]
                counts = [float(output["stop_errors"]), float(frames), float(stops)]
                total += torch.tensor(sums + counts, device=total.device)
        *sums, wrong, frames, stops = self.accelerator.reduce(total, "sum").tolist()
        metrics = {
            part: value / (stops if part == "stop_loss" else frames)
            for part, value in zip(LOSS_PARTS, sums, strict=True)
        }
        metrics |= {
            "loss": metrics["score_loss"] + metrics["stop_loss"],
            "stop_error": wrong / stops,
        }
        if not metrics["alignment_loss"]:  # not asked for, or without word times to tell it by
            del metrics["alignment_loss"]
        metrics |= text_gap.metrics(self.accelerator) | inactive.metrics(self.accelerator)
        self.progress.pause(time.perf_counter() - start)
        named = {f"{metric_key_prefix}_{name}": value for name, value in metrics.items()}
        return EvalLoopOutput(None, None, named, round(stops - frames))

    # Checkpoints.

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        start = time.perf_counter()
        super()._save_checkpoint(model, trial)
        self.progress.pause(time.perf_counter() - start)

    def complete_checkpoint(self, checkpoint: Path) -> None:
        """Add where the batches are, what the run was asked to do, and the average of weights."""
        batches = {
            "epoch_lengths": self.train_batches.epoch_lengths,
            "decided_by": self._batch_settings(),
        }
        (checkpoint / BATCHES_FILE).write_text(json.dumps(batches) + "\n", encoding="utf-8")
        self.write_flags(checkpoint)
        if self.average is not None:
            self.average.save(checkpoint)

    def write_flags(self, folder: Path) -> None:
        """Write `training_flags.json`: what the run was asked to do."""
        text = json.dumps(self.flags, indent=2) + "\n"
        (folder / FLAGS_FILE).write_text(text, encoding="utf-8")

    def seek(self, checkpoint: Path) -> None:
        """Go on where a checkpoint was written: the batches, and the average of weights.

        Raises:
            ValueError: If the flags make other batches of the corpus than they did then.
        """
        self.state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        batches = json.loads((checkpoint / BATCHES_FILE).read_text(encoding="utf-8"))
        differences = [
            f"{name} {value}, not {now}"
            for name, now in self._batch_settings().items()
            if (value := batches["decided_by"][name]) != now
        ]
        if differences:
            raise ValueError(
                f"{checkpoint} was written with {', '.join(differences)}, which makes other "
                "batches: continue it as it was started, or start a new run from its weights with "
                f"--finetune_path {checkpoint} and another --output_dir"
            )
        self.train_batches.epoch_lengths = batches["epoch_lengths"]
        self.train_batches.start = self._batches_done()
        self._last_logged = self.state.global_step
        if self.average is not None:
            self.average.load(checkpoint)

    def _batch_settings(self) -> dict[str, Any]:
        """What decides which samples meet in which batch of which process."""
        return {"processes": self.args.world_size} | {
            f"--{flag}": getattr(self.args, flag) for flag in BATCH_FLAGS
        }
