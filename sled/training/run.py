"""A training run from flags to checkpoint: pretraining and streaming fine-tuning alike."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import HfArgumentParser, set_seed
from transformers.trainer_utils import get_last_checkpoint

from sled.codec import Codec, load_codec
from sled.config import SpeechLlamaConfig
from sled.data.dataset import SpeechDataset
from sled.model import SpeechLlamaForCausalLM
from sled.text import TextTokenizer
from sled.training.arguments import DataArguments, ModelArguments, SledTrainingArguments
from sled.training.trainer import SledTrainer

logger = logging.getLogger(__name__)

# What a checkpoint's weights do not fix, so that fine-tuning may change it.
_FREE_SETTINGS = (
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "training_cfg",
    "history_noise",
    "score",
    "score_beta",
    "score_samples",
    "stream_n",
    "stream_m",
)


def build_model(
    arguments: ModelArguments, tokenizer: TextTokenizer, codec: Codec
) -> SpeechLlamaForCausalLM:
    """A new model of the given sizes, or a checkpoint under new training settings.

    Raises:
        ValueError: If the checkpoint does not fit the tokenizer or the codec.
    """
    settings: dict[str, Any] = asdict(arguments)
    finetune_path = settings.pop("finetune_path")
    if finetune_path is None:
        config = SpeechLlamaConfig(
            vocab_size=tokenizer.vocab_size,
            vae_embed_dim=codec.latent_dim,
            frame_rate=codec.frame_rate,
            **settings,
        )
        return SpeechLlamaForCausalLM(config)

    folder = Path(finetune_path)
    folder = folder.parent if folder.suffix == ".safetensors" else folder
    config = SpeechLlamaConfig.from_pretrained(folder)
    theirs = (config.vocab_size, config.vae_embed_dim, config.frame_rate)
    ours = (tokenizer.vocab_size, codec.latent_dim, codec.frame_rate)
    if theirs != ours:
        raise ValueError(
            f"{folder} has {theirs[0]} tokens and latents of {theirs[1]} at {theirs[2]:g} Hz; "
            f"the tokenizer has {ours[0]} and the codec {ours[1]} at {ours[2]:g}: "
            "use the ones it was trained with"
        )
    free = {key: settings[key] for key in _FREE_SETTINGS}
    config = SpeechLlamaConfig.from_dict(config.to_dict() | free)  # checks them together
    # In half precision, as checkpoints are shipped, small updates would be rounded away.
    return SpeechLlamaForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32)


def train(argv: Sequence[str] | None = None, defaults: dict[str, Any] | None = None) -> Path:
    """Parse the flags, train, and save; a run that was interrupted continues where it stopped.

    Args:
        argv: Command line. None: the process's own.
        defaults: Flag defaults of the calling script.

    Returns:
        The output folder, which holds the final checkpoint.
    """
    parser = HfArgumentParser([ModelArguments, DataArguments, SledTrainingArguments])
    parser.set_defaults(**(defaults or {}))
    model_args, data_args, args = parser.parse_args_into_dataclasses(args=argv)
    for flag in ("train_manifest", "tokenizer"):
        if not getattr(data_args, flag):
            raise ValueError(f"--{flag} is missing: name what to train with (see --help)")

    set_seed(args.seed)
    tokenizer = TextTokenizer.from_pretrained(data_args.tokenizer)
    codec = load_codec(data_args.codec, device=args.device)
    model = build_model(model_args, tokenizer, codec)
    logger.info("model: %.1f M parameters", sum(p.numel() for p in model.parameters()) / 1e6)

    def dataset(manifest: str, max_samples: int | None) -> SpeechDataset:
        return SpeechDataset(
            Path(manifest), tokenizer, codec.sample_rate, codec.frame_rate, max_samples
        )

    trainer = SledTrainer(
        model=model,
        args=args,
        codec=codec,
        train_dataset=dataset(data_args.train_manifest, data_args.max_train_samples),
        eval_dataset=dataset(data_args.eval_manifest, data_args.max_eval_samples)
        if data_args.eval_manifest
        else None,
        processing_class=tokenizer,
    )
    last = None
    if not args.overwrite_output_dir and Path(args.output_dir).is_dir():
        last = get_last_checkpoint(args.output_dir)
    if last is not None:
        logger.info("resuming from %s", last)
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint or last)
    trainer.save_model()
    trainer.save_state()
    return Path(args.output_dir)
