"""Trains a language model of speech tokens: its losses, epochs and evaluation."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from transformers.trainer_utils import EvalLoopOutput
from typing_extensions import override

from sled.model.tokens.files import load_token_lm, save_token_lm
from sled.model.tokens.lm import TokenLM, TokenOutput
from sled.model.tokens.losses import label_smoothed_loss
from sled.training.batch_trainer import EVAL_NOISE_SEED, BatchTrainer
from sled.training.callbacks.progress import Progress
from sled.training.tokens.arguments import TokenTrainingArguments
from sled.training.tokens.callbacks import EpochEnd, SkipBrokenUpdates
from sled.training.tokens.preference import Preference, PreferenceOutput, preference_loss
from sled.training.tokens.samples import (
    BatchLoader,
    EpochCheckpoints,
    LearningBatch,
    Start,
    learning_batch,
)
from sled.training.tokens.schedules import make_schedule
from sled.training.tokens.throughput import training_flops

_BATCH = "batch"


class TokenTrainer(BatchTrainer):
    """Trains a `TokenLM`; all targets of a step count alike, however it is divided.

    An epoch ends for all processes when one of them has no batch left. The last step of an epoch
    may have fewer batches; then some of them are repeated.

    Args:
        train_loader: Training batches of this process.
        eval_loader: Evaluation batches, the same on every process.
        reference: The model that preferences are compared with. None: no preferences are learned.
        start: Where the run begins to count.
        published: Writes checkpoints in a published form, too, after each epoch.
        **kwargs: As for `BatchTrainer`.
    """

    BATCH_FLAGS = (
        "gradient_accumulation_steps",
        "seed",
        "max_frames_in_batch",
        "per_device_train_batch_size",
        "shuffle_size",
        "sort_size",
    )
    args: TokenTrainingArguments

    def __init__(
        self,
        *,
        train_loader: BatchLoader,
        eval_loader: BatchLoader | None = None,
        reference: TokenLM | None = None,
        start: Start | None = None,
        published: EpochCheckpoints | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.train_loader, self.eval_loader = train_loader, eval_loader
        self.start, self.published = start or Start(), published
        self.preference = Preference(beta=self.args.preference_beta)
        self.reference = reference
        if reference is not None:
            self.reference = reference.to(self.args.device).eval().requires_grad_(False)
        self._epoch, self._steps_in_epoch, self._last_length = self.start.epoch, 0, 0
        train_loader.start_epoch(self._epoch)
        half = torch.bfloat16 if self.args.bf16 else self.lm.dtype
        self.progress = Progress("tokens", self.args.device, half)
        self.eval_metrics: dict[str, float] = {}
        self.add_callback(EpochEnd(self._has_ended, self.args.max_epochs, published is not None))
        self.add_callback(SkipBrokenUpdates())

    @property
    def lm(self) -> TokenLM:
        """The model, without what the libraries wrap around it."""
        model: Any = self.model
        lm: TokenLM = model
        return lm

    @property
    def epochs_completed(self) -> int:
        """Number of epochs before the current one, those before the run included."""
        return self._epoch

    def _has_ended(self) -> int | None:
        return self._epoch if self.is_between_epochs else None

    @property
    def is_between_epochs(self) -> bool:
        """Whether an epoch has ended, and the next one has not begun."""
        return self._steps_in_epoch == 0

    # Batches.

    @override
    def get_train_dataloader(self) -> Any:
        return self.train_loader

    @override
    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        assert self.eval_loader is not None, "there is nothing to evaluate on"
        self.eval_loader.start_epoch(0)
        # Every process has all batches, and computes a share of them.
        return islice(self.eval_loader, self.args.process_index, None, self.args.world_size)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | None]:
        """Collect the batches of a step; none at the end of an epoch, and then on all processes.

        Raises:
            ValueError: If the data of any process cannot be used, or an epoch has no batch.
            OSError: If they cannot be read.
        """
        taken: list[LearningBatch] = []
        problem: Exception | None = None
        try:
            for batch in islice(epoch_iterator, num_batches):
                taken.append(learning_batch(batch, self.lm, self.args.streaming_share))
        except (ValueError, OSError, RuntimeError) as error:
            problem = error
        counts = torch.tensor([len(taken) if problem is None else -1], device=device)
        fewest = int(self.accelerator.gather(counts).min())
        if problem is not None:
            raise problem
        if fewest < 0:
            raise ValueError("another process could not use its data: see what it says")
        if fewest == 0:
            self._end_epoch()
            return [], None
        self._steps_in_epoch += 1
        taken = list(islice(cycle(taken), num_batches))
        targets, samples = (
            sum(batch.num_targets for batch in taken),
            sum(len(batch.samples) for batch in taken),
        )
        totals: Tensor = self.accelerator.reduce(
            torch.tensor([targets, samples], device=device), "sum"
        )
        # transformers takes inputs for dictionaries.
        return [{_BATCH: batch} for batch in taken], totals

    def _end_epoch(self) -> None:
        began_at_its_start = self.train_loader.state_dict()["index"] < 0
        if self._steps_in_epoch == 0 and began_at_its_start:
            raise ValueError(
                "an epoch has no batch on some process: name more data, or use fewer processes"
            )
        self._last_length, self._steps_in_epoch = self._steps_in_epoch, 0
        self._epoch += 1
        self.train_loader.start_epoch(self._epoch)
        self.control.should_epoch_stop = True

    @override
    def batches_state(self) -> dict[str, Any]:
        state = self.train_loader.state_dict()
        own = torch.tensor([[state["epoch"], state["index"]]], device=self.args.device)
        positions = self.accelerator.gather(own).tolist()
        return {
            "positions": positions,
            "epoch": self._epoch,
            "steps_in_epoch": self._steps_in_epoch,
            "last_length": self._last_length,
        }

    @override
    def load_batches_state(self, state: Mapping[str, Any]) -> None:
        epoch, index = state["positions"][self.args.process_index]
        self.train_loader.load_state_dict({"epoch": epoch, "index": index})
        self._epoch, self._steps_in_epoch = state["epoch"], state["steps_in_epoch"]
        self._last_length = state["last_length"]

    @override
    def epochs_done(self) -> float:
        length = max(self._last_length, self._steps_in_epoch + 1)
        return self._epoch + self._steps_in_epoch / length

    def _prepare_inputs(self, inputs: Any) -> Any:
        return inputs  # the model moves what it reads

    # The loss.

    @override
    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        assert isinstance(num_items_in_batch, Tensor)  # from get_batch_samples
        batch: LearningBatch = inputs[_BATCH]
        # The factor undoes the averaging of gradients over processes.
        targets, samples = (int(one) / self.args.world_size for one in num_items_in_batch)
        sample_share = len(batch.samples) / samples
        output, pairs = self._forward(model, batch)
        per_target = self.args.length_normalized_loss
        share = batch.num_targets / targets if per_target else sample_share
        loss = self._supervised_loss(output, len(batch.samples)) * share
        parts = {"acc": output.accuracy * batch.num_targets / targets}
        if (further := self.lm.auxiliary_loss()) is not None:
            loss = loss + further * sample_share
            parts["auxiliary_loss"] = further * sample_share
        if pairs is not None:
            parts |= {"sft_loss": loss} | {
                name: one * sample_share for name, one in _described(pairs).items()
            }
            loss = loss + pairs.loss.mean() * sample_share
        self.progress.add(
            parts,
            units=int((output.targets >= 0).sum()),
            flops=training_flops(self.lm, len(output.inputs), output.lengths),
        )
        return (loss, output) if return_outputs else loss

    def _forward(
        self, model: nn.Module, batch: LearningBatch
    ) -> tuple[TokenOutput, PreferenceOutput | None]:
        """Compute the output for the chosen speech, and the preferences, if they are learned."""
        if self.reference is None:
            with self.accelerator.autocast():
                return model(batch.samples), None
        if not batch.rejected:
            raise ValueError(
                "the corpus has no rejected speech tokens, which preferences need: pack it with "
                "them, or leave the preferences out"
            )
        both = [*batch.samples, *batch.rejected]
        with self.accelerator.autocast():
            output: TokenOutput = model(both)
            with torch.no_grad():
                theirs = self.reference(both).log_likelihoods()
        ours, count = output.log_likelihoods(), len(batch.samples)
        pairs = preference_loss(
            self.preference, (ours[:count], ours[count:]), (theirs[:count], theirs[count:])
        )
        return output.first(count), pairs

    def _supervised_loss(self, output: TokenOutput, num_samples: int) -> Tensor:
        per_target, smoothing = self.args.length_normalized_loss, self.args.label_smoothing
        loss = label_smoothed_loss(output.log_p[None], output.targets[None], smoothing, per_target)
        return loss if per_target else loss / num_samples

    @override
    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        args = self.args
        if args.schedule is None or self.lr_scheduler is not None:
            return super().create_scheduler(num_training_steps, optimizer)
        factor = make_schedule(
            args.schedule,
            warmup_steps=int(args.warmup_steps),
            hold_steps=args.hold_steps,
            max_steps=args.max_steps,
            decay_rate=args.decay_rate,
            least=args.min_learning_rate / args.learning_rate,
        )
        first = self.start.step
        chosen: Any = optimizer or self.optimizer
        self.lr_scheduler = LambdaLR(chosen, lambda update: factor(first + update))
        self._created_lr_scheduler = True
        return self.lr_scheduler

    # The log.

    @override
    def report_progress(self, num_steps: int) -> dict[str, float]:
        return self.progress.report(num_steps, self.accelerator)

    # Evaluation.

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Return the mean loss and accuracy of utterances, always in the same layouts."""
        began = time.perf_counter()
        model: Any = self.lm  # without the wrapper of DDP, which only handles gradients
        model.eval()
        sums = torch.zeros(3, dtype=torch.float64, device=self.args.device)
        with torch.random.fork_rng([]), torch.no_grad():
            torch.manual_seed(EVAL_NOISE_SEED)
            for raw in dataloader:
                batch = learning_batch(raw, model, self.args.streaming_share)
                with self.accelerator.autocast():
                    output: TokenOutput = model(batch.samples)
                count = len(batch.samples)
                loss = -output.log_likelihoods().double().sum()
                correct = sum(
                    float((scores.argmax(-1) == targets)[targets >= 0].float().mean())
                    for scores, targets in zip(
                        output.rows(output.log_p), output.rows(output.targets), strict=True
                    )
                )
                sums += torch.tensor([float(loss), correct, count]).to(sums)
        total_loss, total_correct, count = self.accelerator.reduce(sums, "sum").tolist()
        self.progress.pause(time.perf_counter() - began)
        if not count:
            raise ValueError("there is no batch to evaluate on: name more data for evaluation")
        metrics = {"loss": total_loss / count, "acc": total_correct / count}
        self.eval_metrics = metrics
        named = {f"{metric_key_prefix}_{name}": value for name, value in metrics.items()}
        return EvalLoopOutput(None, None, named, round(count))  # type: ignore[arg-type]

    # Checkpoints.

    @override
    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if self.args.should_save:
            folder = Path(output_dir or self.output_dir)
            self.save_lm(folder)
            if self.processing_class is not None:
                self.processing_class.save_pretrained(str(folder))

    @override
    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.load_lm(Path(resume_from_checkpoint))

    def save_lm(self, folder: Path) -> None:
        """Write the model into the folder of a checkpoint."""
        save_token_lm(self.lm, folder)

    def load_lm(self, folder: Path) -> None:
        """Load the weights that `save_lm` wrote."""
        self.lm.load_state_dict(load_token_lm(folder).state_dict())

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        began = time.perf_counter()
        super()._save_checkpoint(*args, **kwargs)
        if self.published is not None and self.args.should_save:
            self.published.save(
                self.lm,
                epoch=self._epoch - self.is_between_epochs,
                step=self.start.step + self.state.global_step,
                is_whole=self.is_between_epochs,
                learning_rate=self._get_learning_rate(),
                losses=self.eval_metrics,
            )
        self.progress.pause(time.perf_counter() - began)


def _described(pairs: PreferenceOutput) -> dict[str, Tensor]:
    """Means over pairs, by their published names."""
    return {
        "dpo_loss": pairs.loss.mean(),
        "dpo_acc": pairs.accuracy.mean(),
        "chosen_reward": pairs.chosen_reward.mean(),
        "reject_reward": pairs.rejected_reward.mean(),
    }
