"""Trains a flow on batches of mel frames and speech tokens."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.trainer_utils import EvalLoopOutput
from typing_extensions import override

from sled.codec.flow.base import Flow, FlowBatch, SpeechFlow
from sled.codec.flow.files import load_flow, save_flow
from sled.training.agreement import sum_over_processes
from sled.training.batch_trainer import EVAL_NOISE_SEED
from sled.training.epoch_trainer import BATCH, EpochTrainer
from sled.training.flow.batch import flow_batch
from sled.training.flow.objectives import Reflow, encoder_loss, require_encoder


class FlowTrainer(EpochTrainer):
    """Trains a flow; all mel frames of a step count alike, however it is divided.

    Args:
        prior_steps: Steps at the beginning, those before the run included, in which the encoder
            alone learns, to estimate the mel frames. A new small flow then learns sooner.
        teacher: A flow whose solutions are learned instead of recordings. None: recordings are
            learned.
        **kwargs: As for `EpochTrainer`.

    Raises:
        ValueError: If the flow has no encoder and another argument needs it.
    """

    def __init__(self, *, prior_steps: int = 0, teacher: Flow | None = None, **kwargs: Any) -> None:
        super().__init__(unit="frames", **kwargs)
        self.prior_steps, self.reflow = prior_steps, None
        if prior_steps:
            require_encoder(self.flow, "prior_steps")
        if teacher is not None:
            require_encoder(self.flow, "reflow")
            teacher = teacher.to(self.args.device).eval().requires_grad_(False)
            self.reflow = Reflow(teacher)

    @property
    def flow(self) -> SpeechFlow:
        """The flow, without what the libraries wrap around it."""
        model: Any = self.model
        flow: SpeechFlow = model
        return flow

    @override
    def take(self, raw: Mapping[str, Any]) -> FlowBatch:
        return flow_batch(raw, self.flow)

    @override
    def counts(self, batch: FlowBatch) -> list[int]:
        return [int(batch.num_frames.sum())]

    @override
    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        assert isinstance(num_items_in_batch, Tensor)  # from get_batch_samples
        [frames] = self.counts(inputs[BATCH])
        learns_alone = self.start.step + self.state.global_step < self.prior_steps
        with self.accelerator.autocast():
            loss = model(inputs[BATCH], encoder_loss if learns_alone else self.reflow)
        self.progress.add({}, units=frames)
        # The factor undoes the averaging of gradients over processes.
        loss = loss * frames * self.args.world_size / int(num_items_in_batch)
        return (loss, None) if return_outputs else loss

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Return the mean loss of frames, always with the same random numbers."""
        began = time.perf_counter()
        flow = self.flow.eval()
        generator = torch.Generator(flow.device).manual_seed(EVAL_NOISE_SEED)
        sums = torch.zeros(2, dtype=torch.float64)
        with torch.no_grad():
            for raw in dataloader:
                batch = self.take(raw)
                with self.accelerator.autocast():
                    loss = flow.loss(batch, generator)
                [frames] = self.counts(batch)
                sums += torch.tensor([float(loss) * frames, frames], dtype=torch.float64)
        total, frames = sum_over_processes(sums, self.accelerator).tolist()
        self.progress.pause(time.perf_counter() - began)
        if not frames:
            raise ValueError("there is no batch to evaluate on: name more data for evaluation")
        self.eval_metrics = {"loss": total / frames}
        metrics = {f"{metric_key_prefix}_loss": total / frames}
        return EvalLoopOutput(None, None, metrics, round(frames))  # type: ignore[arg-type]

    # Checkpoints.

    @override
    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if self.args.should_save:
            save_flow(self.flow, Path(output_dir or self.output_dir))

    @override
    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.flow.load_state_dict(load_flow(Path(resume_from_checkpoint)).state_dict())
