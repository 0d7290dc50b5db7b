"""CosyVoice's command for flows: its flags and its configuration, as a run of ours."""

from __future__ import annotations

import argparse
from pathlib import Path

from transformers import set_seed

from sled.codec.flow.base import SpeechFlow
from sled.codec.flow.files import load_encoder_flow, load_flow
from sled.training.epoch_arguments import EpochTrainingArguments
from sled.training.flow.batch import flow_options
from sled.training.flow.trainer import FlowTrainer
from sled.training.tokens.published_checkpoints import PublishedCheckpoints, published_start
from sled.training.tokens.published_config import NETWORK, PublishedConfig
from sled.training.tokens.published_run import (
    corpus_reading,
    run_arguments,
    run_curves,
    run_record,
)
from sled.training.tokens.run import run_trainer
from sled.training.tokens.setup import make_loader


def train_published_flow(flags: argparse.Namespace) -> Path:
    """Train a flow as a command of CosyVoice says.

    Args:
        flags: Its flags. The checkpoint tells the sizes of the flow.

    Returns:
        The folder of the checkpoints.

    Raises:
        ValueError: If flags, configuration or data cannot be used.
        OSError: If something cannot be read or written.
    """
    config = PublishedConfig.load(flags.config, flags.qwen_pretrain_path)
    args = run_arguments(EpochTrainingArguments, flags, config)
    args.ddp_find_unused_parameters = True  # of prior_steps, and of what a flow does not use
    start = published_start(flags.checkpoint)
    options, ids = corpus_reading(flags, config)
    save_steps = config.save_steps()

    def make_trainer() -> FlowTrainer:
        set_seed(args.seed)
        flow = load_flow(flags.checkpoint, config.content)
        teacher = None
        if flags.teacher is not None:
            teacher = load_encoder_flow(flags.teacher, config.content)
        record = run_record(flags, config, NETWORK)
        published = PublishedCheckpoints(flags.model_dir, record, SpeechFlow.state_dict)
        if args.should_save:
            published.save_initial(flow, start)
        data = flow_options(options, flow)
        return FlowTrainer(
            model=flow,
            args=args,
            prior_steps=config.prior_steps(),
            teacher=teacher,
            train_loader=make_loader([flags.train_data], ids, data, args, training=True),
            eval_loader=make_loader([flags.cv_data], ids, data, args, training=False),
            eval_dataset=[str(flags.cv_data)],
            start=start,
            published=published,
            publishes_within=save_steps is not None,
            adam=config.optimizer(),
            flags={"training": args.to_dict(), "published": record},  # type: ignore[no-untyped-call]
        )

    run_trainer(make_trainer, args, run_curves(flags, args))
    return Path(flags.model_dir)
