"""A stage of fine-tuning of Step-Audio-EditX's flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sled.codec.flow.base import Flow
from sled.codec.flow.files import load_encoder_flow, save_flow
from sled.data.tokens.options import COSYVOICE2
from sled.data.tokens.parquet import read_data_list
from sled.data.tokens.pipeline import TokenBatches, TokenLoader
from sled.training.editx.checkpoints import OPTIMIZER, SCHEDULER, BestCheckpoints
from sled.training.editx.finetuned import begin_flow
from sled.training.editx.settings import FLOW, Stage
from sled.training.epoch_run import EpochRun, Learner, train_epochs
from sled.training.flow.batch import flow_options, no_ids, without_text
from sled.training.flow.learner import FlowLearner, FlowTraining
from sled.training.optimizer import Adam
from sled.training.processes import Processes, device_of_process, started_processes

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
    backend = "nccl" if torch.cuda.is_available() and not use_cpu else "gloo"
    with started_processes(backend) as processes:
        _train(settings, output, stage, bf16, device_of_process(backend), processes)


def _train(
    settings: Mapping[str, Any],
    output: Path,
    stage: Stage,
    bf16: bool,
    device: torch.device,
    processes: Processes,
) -> None:
    optim, folder = settings["optim"], output / stage.name
    flow = begin_flow(settings) if stage.after is None else load_encoder_flow(stage.after)
    flow = flow.to(device)
    for name in FROZEN:
        flow.get_submodule(name).requires_grad_(False)
    warmup_steps = max(1, optim["warmup_steps"])
    training = FlowTraining(
        learning_rate=stage.lr_scale * float(optim["lr_flow"]),
        max_grad_norm=float(optim["grad_clip"]),
        schedule=lambda step: min(1.0, (step + 1) / warmup_steps),
        bf16=bf16,
        optimizer=Adam(weight_decay=float(optim["weight_decay"])),
    )
    seed = settings["basic"]["seed"] + processes.rank
    generator = torch.Generator(device).manual_seed(seed)
    checkpoints = BestCheckpoints(output, FLOW, stage.name, settings)
    learner = FlowLearner(flow, training, generator, processes=processes)

    def save(_: Learner, epoch: int, loss: float) -> None:
        states = {
            OPTIMIZER: learner.optimizer.state_dict(),
            SCHEDULER: {"last_epoch": learner.step, "_last_lr": [learner.learning_rate()]},
        }
        checkpoints.write(_trained(flow), states, epoch, loss)

    train_epochs(
        EpochRun(
            learner=learner,
            accumulate=optim["accum_grad"],
            train_loader=_loader(settings, "train_data", flow, processes),
            eval_loader=_loader(settings, "cv_data", flow, processes),
            folder=folder,
            max_epochs=stage.epochs,
            log_steps=settings["basic"]["log_interval"],
            record={},
            seed=settings["basic"]["seed"],
            save=save,
        )
    )
    if processes.rank == 0:
        save_flow(flow, folder)
    processes.gather(None)  # the next stage begins with it


def _trained(flow: Flow) -> dict[str, Tensor]:
    return {name: one for name, one in flow.named_parameters() if one.requires_grad}


def _loader(
    settings: Mapping[str, Any], name: str, flow: Flow, processes: Processes
) -> TokenLoader:
    data = settings["data"]
    options = replace(
        without_text(flow_options(COSYVOICE2, flow)),
        max_frames_in_batch=data["max_frames_in_batch"],
        shuffle_size=data["shuffle_size"],
        sort_size=data["sort_size"],
    )
    batches = TokenBatches(
        read_data_list(Path(data[name])),
        no_ids,
        options,
        rank=processes.rank,
        world_size=processes.size,
        training=name == "train_data",
        seed=settings["basic"]["seed"],
    )
    return TokenLoader(batches, data["num_workers"], prefetch=10)
