"""Trains a language model of speech tokens: its losses, epochs and evaluation."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.trainer_utils import EvalLoopOutput
from typing_extensions import override

from sled.model.tokens.files import load_token_lm, save_token_lm
from sled.model.tokens.lm import TokenLM
from sled.model.tokens.losses import label_smoothed_loss
from sled.model.tokens.samples import TokenOutput
from sled.training.agreement import sum_over_processes
from sled.training.batch_trainer import EVAL_NOISE_SEED
from sled.training.epoch_trainer import BATCH, EpochTrainer
from sled.training.tokens.arguments import TokenTrainingArguments
from sled.training.tokens.preference import Preference, PreferenceOutput, preference_loss
from sled.training.tokens.samples import LearningBatch, learning_batch
from sled.training.tokens.throughput import training_flops


class TokenTrainer(EpochTrainer):
    """Trains a `TokenLM`; all targets of a step count alike, however it is divided.

    Args:
        reference: The model that preferences are compared with. None: no preferences are learned.
        **kwargs: As for `EpochTrainer`.
    """

    args: TokenTrainingArguments

    def __init__(self, *, reference: TokenLM | None = None, **kwargs: Any) -> None:
        super().__init__(unit="tokens", **kwargs)
        if self.args.training_cfg:  # decoding then knows that the model can be guided
            self.lm.config.objective.training_cfg = self.args.training_cfg
        self.preference = Preference(beta=self.args.preference_beta)
        self.reference = reference
        if reference is not None:
            self.reference = reference.to(self.args.device).eval().requires_grad_(False)

    @property
    def lm(self) -> TokenLM:
        """The model, without what the libraries wrap around it."""
        model: Any = self.model
        lm: TokenLM = model
        return lm

    @override
    def take(self, raw: Mapping[str, Any]) -> LearningBatch:
        batch = learning_batch(
            raw,
            self.lm,
            self.args.streaming_share,
            history_noise=self.args.history_noise,
            training_cfg=self.args.training_cfg,
        )
        if self.reference is not None and not batch.rejected:
            raise ValueError(
                "the corpus has no rejected speech tokens, which preferences need: pack it with "
                "them, or leave the preferences out"
            )
        return batch

    @override
    def counts(self, batch: LearningBatch) -> list[int]:
        return [batch.num_targets, len(batch.samples), batch.num_speech]

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
        batch: LearningBatch = inputs[BATCH]
        # The factor undoes the averaging of gradients over processes.
        targets, samples, speech = (int(one) / self.args.world_size for one in num_items_in_batch)
        sample_share = len(batch.samples) / samples
        output, pairs = self._forward(model, batch)
        per_target = self.args.length_normalized_loss
        share = batch.num_targets / targets if per_target else sample_share
        loss = self._supervised_loss(output, len(batch.samples)) * share
        parts = {"acc": output.accuracy * batch.num_targets / targets}
        if output.alignment_loss is not None:
            speech_share = batch.num_speech / speech
            loss = loss + self.args.alignment_weight * output.alignment_loss * speech_share
            parts["alignment_loss"] = output.alignment_loss * speech_share
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
                return model(batch.samples, self._guided_layer), None
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

    @property
    def _guided_layer(self) -> int | None:
        """The layer of guided attention. None: none is guided."""
        if not self.args.alignment_weight:
            return None
        layer = self.args.alignment_layer
        return self.lm.config.architecture.num_hidden_layers // 2 if layer is None else layer

    def _supervised_loss(self, output: TokenOutput, num_samples: int) -> Tensor:
        per_target, smoothing = self.args.length_normalized_loss, self.args.label_smoothing
        loss = label_smoothed_loss(output.log_p[None], output.targets[None], smoothing, per_target)
        return loss if per_target else loss / num_samples

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
        sums = torch.zeros(3, dtype=torch.float64)
        cuda = [self.args.device] if self.args.device.type == "cuda" else []
        with torch.random.fork_rng(cuda), torch.no_grad():
            torch.manual_seed(EVAL_NOISE_SEED)
            for raw in dataloader:
                batch = learning_batch(raw, model, self.args.streaming_share)
                with self.accelerator.autocast():
                    output: TokenOutput = model(batch.samples)
                count = len(batch.samples)
                loss = -output.log_likelihoods().cpu().double().sum()
                correct = sum(
                    float((scores.argmax(-1) == targets)[targets >= 0].float().mean())
                    for scores, targets in zip(
                        output.rows(output.log_p), output.rows(output.targets), strict=True
                    )
                )
                sums += torch.tensor([float(loss), correct, count], dtype=torch.float64)
        total_loss, total_correct, count = sum_over_processes(sums, self.accelerator).tolist()
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


def _described(pairs: PreferenceOutput) -> dict[str, Tensor]:
    """Means over pairs, by their published names."""
    return {
        "dpo_loss": pairs.loss.mean(),
        "dpo_acc": pairs.accuracy.mean(),
        "chosen_reward": pairs.chosen_reward.mean(),
        "reject_reward": pairs.rejected_reward.mean(),
    }
