"""A stage of fine-tuning of Step-Audio-EditX's flow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import set_seed

from sled.codec.flow.files import load_encoder_flow
from sled.data.tokens.options import COSYVOICE2
from sled.data.tokens.pipeline import TokenLoader
from sled.training.editx.checkpoints import BestCheckpoints
from sled.training.editx.finetuned import begin_flow
from sled.training.editx.settings import FLOW, Stage, stage_flags
from sled.training.epoch_arguments import EpochTrainingArguments
from sled.training.flow.batch import flow_options, no_ids, without_text
from sled.training.flow.trainer import FlowTrainer
from sled.training.optimizer import Adam
from sled.training.tokens.run import run_trainer
from sled.training.tokens.setup import make_loader

# What makes conditions of tokens stays as it is; the estimator and the speaker's layer are trained.
FROZEN = ("input_embedding", "encoder", "encoder_proj")


def finetune_flow(
    settings: Mapping[str, Any], output: Path, stage: Stage, *, use_cpu: bool, bf16: bool
) -> None:
    """Make a stage of the flow. Its folder gets the flow, for the folder of a codec.

    Args:
        settings: From `read_settings`.
        output: Folder of the checkpoints.
        stage: The stage.
        use_cpu: Train on the CPU even if there is a GPU.
        bf16: Compute in bfloat16 where that is safe.

    Raises:
        ValueError: If flow or data cannot be used.
        OSError: If something cannot be read or written.
    """
    data = settings["data"]
    flags = stage_flags(settings, output, stage, "lr_flow")
    args = EpochTrainingArguments(**flags, use_cpu=use_cpu, bf16=bf16)

    def make_trainer() -> FlowTrainer:
        set_seed(args.seed)
        flow = begin_flow(settings) if stage.after is None else load_encoder_flow(stage.after)
        for name in FROZEN:
            flow.get_submodule(name).requires_grad_(False)
        options = args.batches(without_text(flow_options(COSYVOICE2, flow)))

        def loader(name: str, training: bool) -> TokenLoader:
            return make_loader([Path(data[name])], no_ids, options, args, training=training)

        return FlowTrainer(
            model=flow,
            args=args,
            train_loader=loader("train_data", training=True),
            eval_loader=loader("cv_data", training=False),
            eval_dataset=[data["cv_data"]],
            published=BestCheckpoints(output, FLOW, stage.name, settings),
            adam=Adam(weight_decay=args.weight_decay),
            flags={"settings": dict(settings)},
        )

    run_trainer(make_trainer, args)
