"""CosyVoice's command for vocoders: its flags and its configuration, as a run of ours."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from sled.codec.vocoder.files import load_vocoder
from sled.codec.vocoder.hift import HiFT
from sled.data.tokens.parquet import read_data_list
from sled.data.tokens.pipeline import TokenBatches, TokenLoader
from sled.training.tokens.callbacks import Curves
from sled.training.tokens.published_checkpoints import published_start
from sled.training.tokens.published_config import VOCODER, PublishedConfig
from sled.training.tokens.published_run import corpus_reading, run_record
from sled.training.vocoder.discriminator import VocoderDiscriminator
from sled.training.vocoder.learner import BETAS, VocoderLearner, VocoderTraining
from sled.training.vocoder.pitch import pitch_of
from sled.training.vocoder.processes import Processes, device_of_process, started_processes
from sled.training.vocoder.run import VocoderRun, train_vocoder

# Samples of a part of a recording, by the samples of a mel frame, unless the configuration tells.
_PARTS = {256: 24_576, 480: 24_480}


def train_published_vocoder(flags: argparse.Namespace) -> Path:
    """Train a vocoder as a command of CosyVoice says.

    Args:
        flags: Its flags. The checkpoint tells the sizes of the vocoder.

    Returns:
        The folder of the checkpoints.

    Raises:
        ValueError: If flags, configuration or data cannot be used.
        OSError: If something cannot be read or written.
    """
    if flags.train_engine != "torch_ddp":
        raise ValueError(
            f"--model {flags.model} is trained with --train_engine torch_ddp, not "
            f"{flags.train_engine}: choose that"
        )
    config = PublishedConfig.load(flags.config, flags.qwen_pretrain_path)
    with started_processes(flags.backend) as processes:
        return _train(flags, config, processes)


def _train(flags: argparse.Namespace, config: PublishedConfig, processes: Processes) -> Path:
    conf = config.training_flags() | config.vocoder_flags()
    options, ids = corpus_reading(flags, config)
    device = device_of_process(flags.backend)
    settings = vocoder_training(config, flags.use_amp)
    learner = _learner(flags.checkpoint, settings, conf["seed"], device, processes)
    vocoder, pitch = learner.vocoder, None
    if isinstance(vocoder, HiFT):
        pitch = pitch_of(vocoder.sizes.sampling_rate, vocoder.hop_length)
    options = replace(
        options,
        truncate_length=conf["truncate_length"] or _PARTS[vocoder.hop_length],
        max_frames_in_batch=conf["max_frames_in_batch"] or options.max_frames_in_batch,
    )

    def loader(path: Path, training: bool) -> TokenLoader:
        batches = TokenBatches(
            read_data_list(path),
            ids,
            options,
            rank=processes.rank,
            world_size=processes.size,
            training=training,
            seed=conf["seed"],
            pitch=pitch,
        )
        pin_memory = flags.pin_memory and torch.cuda.is_available()
        return TokenLoader(batches, flags.num_workers, flags.prefetch, pin_memory)

    return train_vocoder(
        VocoderRun(
            learner=learner,
            train_loader=loader(flags.train_data, True),
            eval_loader=loader(flags.cv_data, False),
            folder=flags.model_dir,
            max_epochs=conf["max_epochs"],
            log_steps=conf["logging_steps"],
            record=run_record(flags, config, VOCODER),
            seed=conf["seed"],
            save_steps=config.save_steps(VOCODER),
            start=published_start(flags.checkpoint),
            curves=Curves(flags.tensorboard_dir),
        )
    )


def vocoder_training(config: PublishedConfig, bf16: bool) -> VocoderTraining:
    """How a configuration says that a vocoder is trained.

    Raises:
        ValueError: If it cannot be trained so.
    """
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


def _learner(
    path: Path, training: VocoderTraining, seed: int, device: torch.device, processes: Processes
) -> VocoderLearner:
    torch.manual_seed(seed)  # of the discriminator's weights
    vocoder, discriminator = load_vocoder(path).to(device), VocoderDiscriminator().to(device)
    generator = torch.Generator().manual_seed(seed + processes.rank)
    return VocoderLearner(vocoder, discriminator, training, generator, processes)
