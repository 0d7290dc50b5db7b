"""CosyVoice's command for flows and vocoders: its flags and its configuration."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sled.codec.flow.base import SpeechFlow
from sled.codec.flow.files import load_encoder_flow, load_flow
from sled.codec.vocoder.files import load_vocoder
from sled.codec.vocoder.hift import HiFT
from sled.data.tokens.parquet import read_data_list
from sled.data.tokens.pipeline import TokenBatches, TokenLoader
from sled.text.published_tokenizers import CorpusTokenizer, load_corpus_tokenizer
from sled.training.epoch_run import EpochRun, train_epochs
from sled.training.flow.batch import flow_options, no_ids, without_text
from sled.training.flow.learner import FlowLearner, FlowTraining
from sled.training.processes import Processes, device_of_process, started_processes
from sled.training.tokens.callbacks import Curves
from sled.training.tokens.published_checkpoints import published_start
from sled.training.tokens.published_config import NETWORK, VOCODER, PublishedConfig
from sled.training.tokens.schedules import make_schedule
from sled.training.vocoder.discriminator import VocoderDiscriminator
from sled.training.vocoder.learner import BETAS, VocoderLearner, VocoderTraining
from sled.training.vocoder.pitch import pitch_of

FLOW = "flow"
# Samples of a part of a recording, by the samples of a mel frame, unless the configuration tells.
_PARTS = {256: 24_576, 480: 24_480}


def train_published_networks(flags: argparse.Namespace, given: Mapping[str, Any]) -> Path:
    """Train a flow or a vocoder as a command of CosyVoice says.

    Args:
        flags: Its flags.
        given: The same by their published names, for the record beside each checkpoint.

    Raises:
        ValueError: If flags, configuration or data cannot be used.
        OSError: If something cannot be read or written.
    """
    name = flags.model
    if flags.train_engine != "torch_ddp":
        raise ValueError(
            f"--model {name} is trained with --train_engine torch_ddp, not {flags.train_engine}: "
            "choose that"
        )
    if flags.dpo or flags.ref_model is not None:
        raise ValueError(f"--dpo and --ref_model are for --model llm, not {name}: leave them out")
    if flags.teacher is not None and name != FLOW:
        raise ValueError(f"--teacher is for --model {FLOW}, not {name}: leave it out")
    if flags.checkpoint is None or not flags.checkpoint.exists():
        raise ValueError(
            f"--checkpoint {flags.checkpoint}: --model {name} begins with weights, which tell its "
            "sizes: name flow.pt or hift.pt, or a folder of ours"
        )
    config = PublishedConfig.load(flags.config, flags.qwen_pretrain_path)
    folder = flags.tokenizer or flags.qwen_pretrain_path
    tokenizer = None if folder is None else load_corpus_tokenizer(Path(folder))
    with started_processes(flags.backend) as processes:
        return _train(flags, config, tokenizer, given, processes)


def _train(
    flags: argparse.Namespace,
    config: PublishedConfig,
    tokenizer: CorpusTokenizer | None,
    given: Mapping[str, Any],
    processes: Processes,
) -> Path:
    conf, options = config.training_flags(), config.pipeline()
    if tokenizer is None:  # its filter counts no text tokens then
        options = without_text(options)
    device = device_of_process(flags.backend)
    pitch, accumulate, part = None, 1, NETWORK if flags.model == FLOW else VOCODER
    learner: FlowLearner | VocoderLearner
    if flags.model == FLOW:
        flow = load_flow(flags.checkpoint, config.content).to(device)
        training = flow_training(config, flags.use_amp)
        learner = _flow_learner(flow, training, conf["seed"], processes)
        if flags.teacher is not None:
            learner.teach(load_encoder_flow(flags.teacher, config.content).to(device))
        accumulate = conf["gradient_accumulation_steps"]
        options = flow_options(options, learner.flow)
    else:
        conf |= config.vocoder_flags()
        settings = vocoder_training(config, flags.use_amp)
        learner = _vocoder_learner(flags.checkpoint, settings, conf["seed"], device, processes)
        vocoder = learner.vocoder
        frames = conf["max_frames_in_batch"] or options.max_frames_in_batch
        samples = conf["truncate_length"] or _PARTS[vocoder.hop_length]
        options = replace(options, truncate_length=samples, max_frames_in_batch=frames)
        if isinstance(vocoder, HiFT):
            pitch = pitch_of(vocoder.sizes.sampling_rate, vocoder.hop_length)

    def loader(path: Path, training: bool) -> TokenLoader:
        batches = TokenBatches(
            read_data_list(path),
            no_ids if tokenizer is None else tokenizer.ids,
            options,
            rank=processes.rank,
            world_size=processes.size,
            training=training,
            seed=conf["seed"],
            pitch=pitch,
        )
        pin_memory = flags.pin_memory and torch.cuda.is_available()
        return TokenLoader(batches, flags.num_workers, flags.prefetch, pin_memory)

    return train_epochs(
        EpochRun(
            learner=learner,
            accumulate=accumulate,
            train_loader=loader(flags.train_data, True),
            eval_loader=loader(flags.cv_data, False),
            folder=flags.model_dir,
            max_epochs=conf["max_epochs"],
            log_steps=conf["logging_steps"],
            record=config.training(part) | dict(given),
            seed=conf["seed"],
            save_steps=config.save_steps(part),
            start=published_start(flags.checkpoint),
            curves=Curves(flags.tensorboard_dir),
        )
    )


def flow_training(config: PublishedConfig, bf16: bool) -> FlowTraining:
    """How a configuration says that a flow is trained.

    Raises:
        ValueError: If it cannot be trained so.
    """
    conf = config.training_flags()
    schedule: Callable[[int], float] = make_schedule(
        conf["schedule"],
        warmup_steps=int(conf["warmup_steps"]),
        hold_steps=conf["hold_steps"],
        max_steps=2**31,
        decay_rate=conf["decay_rate"],
        least=conf["min_learning_rate"] / conf["learning_rate"],
    )
    return FlowTraining(
        learning_rate=conf["learning_rate"],
        max_grad_norm=float(conf["max_grad_norm"]),
        schedule=schedule,
        bf16=bf16,
        optimizer=config.optimizer(),
        prior_steps=config.prior_steps(),
    )


def vocoder_training(config: PublishedConfig, bf16: bool) -> VocoderTraining:
    """How a configuration says that a vocoder is trained; see `flow_training`."""
    conf = config.vocoder_flags()
    rate = conf["learning_rate"]
    return VocoderTraining(
        learning_rate=rate,
        discriminator_learning_rate=config.learning_rate(VOCODER, "_d", otherwise=rate),
        optimizer=config.optimizer(VOCODER, betas=BETAS),
        discriminator_optimizer=config.optimizer(VOCODER, "_d", betas=BETAS),
        max_grad_norm=float(conf["max_grad_norm"]),
        adversarial_from=conf["adversarial_from"],
        multi_scale=conf["multi_scale"],
        bf16=bf16,
    )


def _flow_learner(
    flow: SpeechFlow, training: FlowTraining, seed: int, processes: Processes
) -> FlowLearner:
    generator = torch.Generator(flow.device).manual_seed(seed + processes.rank)
    return FlowLearner(flow, training, generator, processes=processes)


def _vocoder_learner(
    path: Path, training: VocoderTraining, seed: int, device: torch.device, processes: Processes
) -> VocoderLearner:
    torch.manual_seed(seed)  # of the discriminator's weights
    vocoder, discriminator = load_vocoder(path).to(device), VocoderDiscriminator().to(device)
    generator = torch.Generator().manual_seed(seed + processes.rank)
    return VocoderLearner(vocoder, discriminator, training, generator, processes)
