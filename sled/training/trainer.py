"""transformers' Trainer for SLED: batches, loss over frames, evaluation and continuation."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers.trainer_utils import EvalLoopOutput
from typing_extensions import override

from sled.codec import Codec
from sled.data.dataset import SpeechDataset, collate, length_mask
from sled.data.sampling import SpeechBatches, TrainingBatches
from sled.model.batch import SpeechBatch, TrainingOutput
from sled.model.guided_attention import SpokenTokens
from sled.model.layout import Layout
from sled.training.arguments import SledTrainingArguments
from sled.training.batch_trainer import EVAL_NOISE_SEED, BatchTrainer
from sled.training.callbacks.inactive_neurons import InactiveNeurons
from sled.training.callbacks.progress import Progress
from sled.training.callbacks.text_gap import TextGap, with_other_endings
from sled.training.callbacks.throughput import training_flops
from sled.training.checkpoints.lora import unwrap
from sled.training.distillation import GuidedTeacher
from sled.training.evaluation import LOSS_PARTS, EvaluationLosses, count_terms
from sled.training.objectives import corrupt_inputs
from sled.training.recognition import Recognition
from sled.training.units import batch_units, drop_leading_tokens


class SledTrainer(BatchTrainer):
    """Trains on `SpeechBatches`, weights all frames equally, and logs the parts of the loss.

    However a global batch is divided into processes or accumulated steps, its loss is the mean over
    all its frames (and stop decisions).

    Args:
        codec: Turns codes into units, in float32; not a part of the model.
        train_batches: Training batches of this process.
        eval_batches: Evaluation batches of this process.
        teacher: Computes the states to learn, if guidance is distilled.
        recognition: Listens to what the model draws, if that is a part of the loss.
        **kwargs: As for `BatchTrainer`.

    Attributes:
        progress: Losses and speed since the last log entry.
    """

    BATCH_FLAGS = (
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "max_frames_per_batch",
        "max_seconds_per_batch",
        "quadratic_duration_s",
        "group_by_speech_length",
        "seed",
    )
    args: SledTrainingArguments
    train_dataset: SpeechDataset

    def __init__(
        self,
        *,
        codec: Codec,
        train_batches: SpeechBatches,
        eval_batches: SpeechBatches | None = None,
        teacher: GuidedTeacher | None = None,
        recognition: Recognition | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_collator=collate, **kwargs)
        self.codec, self.teacher, self.recognition = codec, teacher, recognition
        if teacher is not None:
            teacher.to(self.args.device)
        self.train_batches, self.eval_batches = TrainingBatches(train_batches), eval_batches
        half = torch.bfloat16 if self.args.bf16 else torch.float16 if self.args.fp16 else None
        model: Any = self.model  # of transformers' type, or peft's wrapper around it
        self.progress = Progress("frames", self.args.device, half or model.dtype)
        self.alignment_weight = self.args.alignment_weight or 0.0

    # Batches.

    @override
    def get_train_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.train_batches, self.train_dataset)

    @override
    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        assert self.eval_batches is not None, "there is nothing to evaluate on"
        spoken = self.train_dataset.with_spoken_tokens
        tokenizer = self.train_dataset.tokenizer
        dataset = SpeechDataset(
            tokenizer,
            self.codec,
            with_spoken_tokens=spoken,
            conditions=self.train_dataset.conditions,
        )
        return self._loader(list(self.eval_batches.epoch(0)), dataset)

    def _loader(self, batches: Any, dataset: SpeechDataset) -> DataLoader[Any]:
        # Not prepared by accelerate: the batches are already the share of this process.
        return DataLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=collate,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory and torch.cuda.is_available(),
            persistent_workers=self.args.dataloader_persistent_workers,
            prefetch_factor=self.args.dataloader_prefetch_factor,
            # A loader draws the seed of its workers; it must not use the generator of training.
            generator=torch.Generator().manual_seed(self.args.seed),
        )

    @override
    def batches_state(self) -> dict[str, Any]:
        return {"epoch_lengths": self.train_batches.epoch_lengths}

    @override
    def load_batches_state(self, state: Mapping[str, Any]) -> None:
        self.train_batches.epoch_lengths = state["epoch_lengths"]
        self.train_batches.start = self._batches_done()

    @override
    def epochs_done(self) -> float:
        return self.train_batches.epochs_at(self._batches_done())

    def _batches_done(self) -> int:
        return self.state.global_step * self.args.gradient_accumulation_steps

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Move a batch to the device; audio stays in float32, even under DeepSpeed."""
        device = self.args.device
        moved: dict[str, Any] = send_to_device(inputs, device, non_blocking=device.type == "cuda")
        return moved

    # The loss.

    def _forward(self, model: nn.Module, inputs: dict[str, Any]) -> TrainingOutput:
        """Losses of a batch, as means over this batch alone."""
        keeps_offline = model.training and torch.rand(()).item() < self.args.offline_share
        units, history = self._units(inputs, model.training)
        batch = {
            "input_ids": inputs["input_ids"],
            "attention_mask": inputs["attention_mask"],
            "units": units,
            "frame_mask": length_mask(inputs["num_frames"]),
            "layout": Layout() if keeps_offline else unwrap(self.model).layout,
            "conditions": inputs.get("conditions", {}),
            # A state does not depend on who speaks without a prompt.
            "num_given": None if self.teacher else inputs["num_given"],
        }
        with self.accelerator.autocast():  # excludes the codec
            if self.teacher is not None:
                batch["guided_states"] = self.teacher.states(SpeechBatch(**batch))
            output: TrainingOutput = model(
                **batch,
                spoken=self._spoken(inputs),
                history=history,
                corruption=corrupt_inputs,
                listener=self.recognition,
            )
        return output

    def _units(self, inputs: dict[str, Any], training: bool) -> tuple[Tensor, Tensor | None]:
        """Units of a batch, and what the model reads instead, if that differs."""
        units, channel = batch_units(self.codec, inputs), self.codec.token_channel
        if not training or channel is None:
            return units, None
        tokens, numbers = inputs["spoken_ids"], inputs["spoken_tokens"]
        share = self.args.token_channel_dropout
        known = drop_leading_tokens(tokens, inputs["num_frames"], share)
        return units, channel.write(units, known, numbers)

    def _spoken(self, inputs: dict[str, Any]) -> SpokenTokens | None:
        """The spoken tokens of a batch, if an attention head is guided to them."""
        if not self.alignment_weight or "spoken_tokens" not in inputs:
            return None
        layer = unwrap(self.model).config.speaking.alignment_layer
        assert layer is not None
        return SpokenTokens(inputs["spoken_tokens"], layer)

    @override
    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        output = self._forward(model, inputs)
        assert isinstance(num_items_in_batch, Tensor)  # from _get_num_items_in_batch
        samples = len(inputs["num_frames"])
        counts = count_terms(output.num_learned, output.num_frames, samples)
        # The factor undoes the averaging of gradients over processes.
        shares = {
            part: counts[part] * self.args.world_size / total.clamp(min=1)
            for part, total in zip(LOSS_PARTS, num_items_in_batch, strict=True)
        }
        longest = len(output.lengths) * max(output.lengths)
        self.progress.add(
            {part: getattr(output, part) * share for part, share in shares.items()},
            units=output.num_frames,
            flops=training_flops(unwrap(self.model), output.lengths, output.num_learned),
            positions=sum(output.lengths),
            # Only attention is padded, and not on a CPU.
            padded_positions=sum(output.lengths) if self.args.device.type == "cpu" else longest,
        )
        alignment = self.alignment_weight * output.alignment_loss
        loss = (
            output.score_loss * shares["score_loss"]
            + alignment * shares["alignment_loss"]
            + self.args.recognition_weight * output.recognition_loss * shares["recognition_loss"]
            + output.stop_loss * shares["stop_loss"]
        )
        return (loss, output) if return_outputs else loss

    def _get_num_items_in_batch(
        self, batch_samples: list[dict[str, Any]], device: torch.device
    ) -> Tensor:
        """Terms of each of `LOSS_PARTS` in one optimiser step, over all processes: [6]."""
        frames = sum(int(batch["num_frames"].sum()) for batch in batch_samples)
        samples = sum(len(batch["num_frames"]) for batch in batch_samples)
        learned = frames
        if self.teacher is None:
            learned -= sum(int(batch["num_given"].sum()) for batch in batch_samples)
        counts = count_terms(learned, frames, samples)
        totals: Tensor = self.accelerator.reduce(
            torch.tensor(list(counts.values()), device=device), "sum"
        )
        return totals

    @override
    def report_progress(self, num_steps: int) -> dict[str, float]:
        logs = self.progress.report(num_steps, self.accelerator)
        if not self.alignment_weight:
            logs.pop("alignment_loss", None)
        if self.recognition is None:
            logs.pop("recognition_loss", None)
        return logs

    # Evaluation.

    def evaluation_loop(
        self,
        dataloader: DataLoader[Any],
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Mean losses over all frames (and stop decisions), always with the same noise.

        Also the use of the text, see `callbacks.text_gap`, and the share of inactive neurons of the
        head, see `callbacks.inactive_neurons`.
        """
        start = time.perf_counter()
        model: Any = self.model  # without the wrapper of DDP, which only handles gradients
        model.eval()
        losses = EvaluationLosses()
        text_gap = TextGap()
        inactive = InactiveNeurons(unwrap(self.model).scoreloss, self.args.device)
        devices = [self.args.device] if self.args.device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.no_grad(), inactive:
            torch.manual_seed(EVAL_NOISE_SEED)
            for inputs in dataloader:
                inputs = self._prepare_inputs(inputs)
                other = None
                is_several = len(inputs["num_frames"]) > 1
                # Where weights are sharded, all processes have to call the model as often.
                if is_several or self.shards_weights:
                    with torch.random.fork_rng(devices):  # the same noise as for the own texts
                        other = self._forward(model, with_other_endings(inputs))
                output = self._forward(model, inputs)
                if other is not None and is_several:
                    longest_s = float(inputs["num_frames"].max()) / self.codec.frame_rate
                    text_gap.add(other, output, longest_s)
                losses.add(output, len(inputs["num_frames"]))
        metrics, num_samples = losses.metrics(self.accelerator)
        metrics |= text_gap.metrics(self.accelerator) | inactive.metrics(self.accelerator)
        self.progress.pause(time.perf_counter() - start)
        named = {f"{metric_key_prefix}_{name}": value for name, value in metrics.items()}
        # transformers does not read the predictions, which it types as arrays.
        return EvalLoopOutput(None, None, named, num_samples)  # type: ignore[arg-type]

    # Checkpoints.

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        start = time.perf_counter()
        super()._save_checkpoint(model, trial)
        self.progress.pause(time.perf_counter() - start)
