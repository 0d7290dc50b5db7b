"""CosyVoice's command for flows and vocoders: its flags and its configuration, in one process."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sled.codec.flow.files import load_flow
from sled.codec.vocoder.files import load_vocoder
from sled.data.tokens.batches import Pitch
from sled.data.tokens.parquet import read_data_list
from sled.data.tokens.pipeline import TokenBatches, TokenLoader
from sled.text.published_tokenizers import load_corpus_tokenizer
from sled.training.epoch_run import EpochRun, train_epochs
from sled.training.flow.learner import FlowLearner, FlowTraining
from sled.training.tokens.published_config import PublishedConfig
from sled.training.tokens.schedules import make_schedule
from sled.training.vocoder.discriminator import VocoderDiscriminator
from sled.training.vocoder.learner import VocoderLearner, VocoderTraining
from sled.training.vocoder.pitch import pitch_of

FLOW, VOCODER = "flow", "hifigan"
# Samples of a part of a recording, by the samples of a mel frame.
_PARTS = {256: 24_576, 480: 24_480}


def train_published_networks(flags: argparse.Namespace, record: Mapping[str, Any]) -> Path:
    """Train a flow or a vocoder as a command of CosyVoice says.

    Args:
        flags: Its flags.
        record: Settings that are written beside each checkpoint.

    Raises:
        ValueError: If flags, configuration or data cannot be used.
        OSError: If something cannot be read or written.
    """
    name = flags.model
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 or flags.train_engine != "torch_ddp":
        raise ValueError(f"--model {name} is trained by one process: start it without torchrun")
    if flags.checkpoint is None or not flags.checkpoint.exists():
        raise ValueError(
            f"--checkpoint {flags.checkpoint}: --model {name} begins with weights, which tell its "
            "sizes: name flow.pt or hift.pt, or a folder of ours"
        )
    folder = flags.tokenizer or flags.qwen_pretrain_path
    if folder is None:
        raise ValueError("--tokenizer is missing: the filter of the corpus counts text tokens")
    config = PublishedConfig.load(flags.config, flags.qwen_pretrain_path)
    tokenizer, conf = load_corpus_tokenizer(Path(folder)), config.training_flags()
    make = _flow_learner if name == FLOW else _vocoder_learner
    learner, part, accumulate, pitch = make(flags.checkpoint, conf)
    options = replace(config.pipeline(), truncate_length=part)

    def loader(path: Path, training: bool) -> TokenLoader:
        batches = TokenBatches(
            read_data_list(path),
            tokenizer.ids,
            options,
            training=training,
            seed=conf["seed"],
            pitch=pitch,
        )
        return TokenLoader(batches)

    return train_epochs(
        EpochRun(
            learner=learner,
            accumulate=accumulate,
            train_loader=loader(flags.train_data, True),
            eval_loader=loader(flags.cv_data, False),
            folder=flags.model_dir,
            max_epochs=conf["max_epochs"],
            log_steps=conf["logging_steps"],
            record=record,
            seed=conf["seed"],
        )
    )


_Parts = tuple[FlowLearner | VocoderLearner, int | None, int, Pitch | None]
"""A learner, the samples of a part of a recording, the batches of a step, the pitch."""


def _flow_learner(path: Path, conf: Mapping[str, Any]) -> _Parts:
    schedule: Callable[[int], float] = make_schedule(
        conf["schedule"],
        warmup_steps=int(conf["warmup_steps"]),
        hold_steps=conf["hold_steps"],
        max_steps=2**31,
        decay_rate=conf["decay_rate"],
        least=conf["min_learning_rate"] / conf["learning_rate"],
    )
    training = FlowTraining(
        learning_rate=conf["learning_rate"],
        max_grad_norm=float(conf["max_grad_norm"]),
        schedule=schedule,
    )
    generator = torch.Generator().manual_seed(conf["seed"])
    learner = FlowLearner(load_flow(path), training, generator)
    return learner, None, conf["gradient_accumulation_steps"], None


def _vocoder_learner(path: Path, conf: Mapping[str, Any]) -> _Parts:
    torch.manual_seed(conf["seed"])  # of the discriminator's weights
    vocoder, generator = load_vocoder(path), torch.Generator().manual_seed(conf["seed"])
    learner = VocoderLearner(vocoder, VocoderDiscriminator(), VocoderTraining(), generator)
    pitch = pitch_of(vocoder.sizes.sampling_rate, vocoder.hop_length)
    return learner, _PARTS[vocoder.hop_length], 1, pitch
