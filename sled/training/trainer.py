"""transformers' Trainer, taught what a SLED batch is."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from transformers import Trainer

from sled.codec import Codec
from sled.data.dataset import LengthGroupedBatchSampler, SpeechDataset, collate, length_mask
from sled.layout import Layout
from sled.model import SpeechLlamaOutput
from sled.training.arguments import SledTrainingArguments

LOGGED_PARTS = ("score_loss", "stop_loss", "attraction", "repulsion")


class SledTrainer(Trainer):
    """Turns codes or audio into latents, batches by length, and logs the parts of the loss.

    Args:
        codec: Gives the latents; stays in float32 and outside the model.
        **kwargs: As for `transformers.Trainer`.
    """

    args: SledTrainingArguments

    def __init__(self, *, codec: Codec, **kwargs: Any) -> None:
        super().__init__(data_collator=collate, **kwargs)
        self.codec = codec
        self._parts: dict[str, list[Tensor]] = defaultdict(list)

    def get_train_dataloader(self) -> DataLoader:
        assert isinstance(self.train_dataset, SpeechDataset)
        by_frames = self.args.max_frames_per_batch is not None
        num_frames = self.train_dataset.num_frames
        if not self.args.group_by_speech_length:
            num_frames = [1] * len(num_frames)
        sampler = LengthGroupedBatchSampler(
            num_frames,
            batch_size=None if by_frames else self.args.per_device_train_batch_size,
            max_frames=self.args.max_frames_per_batch,
            seed=self.args.seed,
        )
        loader = DataLoader(
            self.train_dataset,
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory and torch.cuda.is_available(),
            persistent_workers=self.args.dataloader_persistent_workers,
        )
        return self.accelerator.prepare(loader)

    def _latents(self, inputs: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Latents [B, T, D] of a batch and their mask [B, T]."""
        codes = inputs["codes"] if "codes" in inputs else self.codec.encode(inputs["audio"])
        lengths = torch.tensor([c.shape[-1] for c in codes])
        # Frames first for padding; code 0 at padding is masked out.
        padded = pad_sequence([c.T for c in codes], batch_first=True)  # [B, T, K]
        latents = self.codec.codes_to_latents(padded.transpose(1, 2))
        return latents, length_mask(lengths).to(latents.device)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        with torch.no_grad():
            latents, latent_mask = self._latents(inputs)
        keeps_offline = model.training and torch.rand(()).item() < self.args.offline_share
        output: SpeechLlamaOutput = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            latents=latents,
            latent_mask=latent_mask,
            layout=Layout() if keeps_offline else None,
        )
        prefix = "" if model.training else "eval_"
        for part in LOGGED_PARTS:
            self._parts[prefix + part].append(output[part])
        return (output.loss, output) if return_outputs else output.loss

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> tuple[Tensor, None, None]:
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            return self.compute_loss(model, inputs), None, None

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the parts of the loss, averaged since they were last logged."""
        prefix = "eval_" if "eval_loss" in logs else ""
        for part in LOGGED_PARTS:
            values = self._parts.pop(prefix + part, [])
            if values:
                logs[prefix + part] = torch.stack(values).mean().item()
        super().log(logs, *args, **kwargs)
