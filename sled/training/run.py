"""A training run from flags to checkpoint: pretraining and streaming fine-tuning alike."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from transformers import set_seed
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import get_last_checkpoint

from sled.codec import Codec, load_codec
from sled.data.alignment.spoken_times import word_ends
from sled.data.cache.codes import check_codec
from sled.data.dataset import SpeechDataset, open_corpus
from sled.data.lengths import measure_frames_per_token, measure_trained_frames
from sled.data.sampling import SpeechBatches
from sled.model.huggingface import SpeechLlamaConfig
from sled.model.lm import SpeechLlamaForCausalLM
from sled.text.tokenizer import TextTokenizer
from sled.training.arguments import (
    DataArguments,
    LoraArguments,
    ModelArguments,
    SledTrainingArguments,
    parse_flags,
)
from sled.training.callbacks.samples import show_samples
from sled.training.callbacks.time_limit import TimeLimit
from sled.training.checkpoints.lora import add_adapters, save_merged, unwrap
from sled.training.checkpoints.saving import finished_steps, publish_model
from sled.training.distillation import GuidedTeacher, make_student
from sled.training.trainer import SledTrainer

logger = logging.getLogger(__name__)

# What a checkpoint's weights do not fix, so that fine-tuning may change it.
FREE_SETTINGS = (
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "training_cfg",
    "history_noise",
    "scheduled_sampling",
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
        ValueError: If there is no such checkpoint, or it does not fit the tokenizer or the codec.
    """
    settings: dict[str, Any] = asdict(arguments)
    finetune_path, _ = settings.pop("finetune_path"), settings.pop("distill_cfg")
    if finetune_path is None:
        config = SpeechLlamaConfig(
            vocab_size=tokenizer.vocab_size,
            vae_embed_dim=codec.unit_shape[0],
            frame_rate=codec.frame_rate,
            **settings,
        )
        return SpeechLlamaForCausalLM(config)

    folder = Path(finetune_path)
    if folder.suffix == ".safetensors":
        if not folder.is_file():
            raise ValueError(f"no checkpoint at {folder}: train it first, or check --finetune_path")
        folder = folder.parent
    config = SpeechLlamaConfig.from_pretrained(folder)
    sizes = config.architecture
    theirs = (sizes.vocab_size, sizes.vae_embed_dim, sizes.frame_rate)
    ours = (tokenizer.vocab_size, *codec.unit_shape, codec.frame_rate)
    if theirs != ours:
        raise ValueError(
            f"{folder} has {theirs[0]} tokens and latents of {theirs[1]} at {theirs[2]:g} Hz; "
            f"the tokenizer has {ours[0]} and the codec {ours[1]} at {ours[2]:g}: "
            "use the ones it was trained with"
        )
    free = {key: settings[key] for key in FREE_SETTINGS}
    config = SpeechLlamaConfig.from_dict(config.to_dict() | free)  # checks them together
    # In half precision, as checkpoints are shipped, small updates would be rounded away.
    return SpeechLlamaForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32)


def train(
    argv: Sequence[str] | None = None,
    defaults: Mapping[str, Any] | None = None,
    description: str | None = None,
) -> Path:
    """Parse the flags, train, and save; a run that was interrupted continues where it stopped.

    Args:
        argv: Command line. None: the process's own.
        defaults: Flag defaults of the calling script.
        description: Of the calling script, for --help.

    Returns:
        The output folder, which holds the trained model.

    Raises:
        ValueError: For flags, data or a checkpoint that cannot be trained with, and as
            `SledTrainer.run`.
        OSError: If something cannot be read or written.
    """
    start = time.monotonic()
    model_args, lora_args, data_args, args = parse_flags(argv, defaults, description)
    if args.process_index > 0:
        logging.getLogger("sled").setLevel(logging.WARNING)  # the first process tells enough
    output_dir = Path(args.output_dir)
    if (steps := finished_steps(output_dir)) >= args.max_steps:
        logger.info(
            "%s holds the model after all of its %d steps: nothing to do (to train on, raise "
            "--max_steps; to start anew, name another --output_dir)",
            output_dir,
            steps,
        )
        return output_dir
    _check_flags(model_args, lora_args, data_args, args)
    trainer = make_trainer(model_args, lora_args, data_args, args)
    show_samples(trainer)
    if args.max_minutes is not None:
        trainer.add_callback(TimeLimit(start, args.max_minutes, trainer.accelerator))
    last = (
        Path(args.resume_from_checkpoint) if args.resume_from_checkpoint else find_last(output_dir)
    )
    if last is not None:
        logger.info("continuing from %s", last)
    # All processes have made the same model; from here on each has noise of its own.
    set_seed(args.seed + args.process_index)
    trainer.run(last)
    save_result(trainer)
    logger.info("model saved in %s", output_dir)
    if trainer.state.global_step < args.max_steps:
        logger.info(
            "time is up after step %d of %d: the same command goes on",
            trainer.state.global_step,
            args.max_steps,
        )
    return output_dir


def make_trainer(
    model_args: ModelArguments,
    lora_args: LoraArguments,
    data_args: DataArguments,
    args: SledTrainingArguments,
) -> SledTrainer:
    """Load or make all that a run needs; the same on every process.

    Raises:
        ValueError: If something is missing or does not fit.
    """
    set_seed(args.seed)
    tokenizer = TextTokenizer.from_pretrained(data_args.tokenizer)
    codec = load_codec(data_args.codec, device=args.device)
    for manifest in map(Path, data_args.train_manifest + data_args.eval_manifest):
        if manifest.is_dir():
            check_codec(manifest, codec)
    model = build_model(model_args, tokenizer, codec).to(getattr(torch, args.model_dtype))
    # A checkpoint says itself how its texts were normalised.
    tokenizer = TextTokenizer.from_pretrained(
        data_args.tokenizer, model.config.architecture.text_normalization
    )
    train_batches = training_batches(data_args, args, codec)
    channel = codec.token_channel
    if channel is not None and channel.vocab_size != tokenizer.vocab_size:
        raise ValueError(
            f"{data_args.codec} has a channel for {channel.vocab_size} tokens, the tokenizer has "
            f"{tokenizer.vocab_size}: add one for it with `sled codec fit`"
        )
    if args.alignment_weight or channel is not None:
        _check_alignment(train_batches.open_epoch(0))
        _check_layer(args.alignment_layer, model.config.architecture.num_hidden_layers)
    eval_batches = evaluation_batches(data_args, args) if data_args.eval_manifest else None
    if channel is not None and eval_batches is not None:
        _check_alignment(eval_batches.open_epoch(0))
    train_dataset = SpeechDataset(
        tokenizer,
        codec,
        data_args.join_share,
        data_args.max_joined_s,
        with_spoken_tokens=channel is not None or args.alignment_weight > 0,
    )
    lengths = measure_frames_per_token(train_batches.open_epoch(0), tokenizer, codec)
    longest = measure_trained_frames(train_batches.open_epoch(0), train_dataset.group, codec)
    # Decoding holds the model to them.
    speaking = model.config.speaking
    if model_args.finetune_path is None:
        speaking.trained_frames = longest
    elif speaking.trained_frames is not None:  # else the checkpoint may have heard more
        speaking.trained_frames = max(longest, speaking.trained_frames)
    speaking.min_frames_per_token = round(lengths.low, 3)
    speaking.max_frames_per_token = round(lengths.high, 3)
    if args.compile_layers:
        for layer in model.model.layers:
            layer.compile(dynamic=True)
    teacher = None
    if model_args.distill_cfg is not None:
        teacher = GuidedTeacher(model, model_args.distill_cfg)
        make_student(model, model_args.distill_cfg)
    if lora_args.lora_rank:
        model = add_adapters(model, lora_args)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    logger.info("model: %.1f M parameters, %.1f M trained", total / 1e6, trained / 1e6)
    return SledTrainer(
        model=model,
        args=args,
        codec=codec,
        train_dataset=train_dataset,
        train_batches=train_batches,
        eval_batches=eval_batches,
        eval_dataset=data_args.eval_manifest or None,
        flags={
            "model": asdict(model_args),
            "lora": asdict(lora_args),
            "data": asdict(data_args),
            "training": args.to_dict(),
        },
        teacher=teacher,
        processing_class=tokenizer,
    )


def _check_alignment(cuts: Iterable[Cut]) -> None:
    """Make sure that there is something to learn from.

    Raises:
        ValueError: If no cut among the first thousand has word times.
    """
    if not any(map(word_ends, islice(cuts, 1000))):
        raise ValueError(
            "--alignment_weight and a codec's token channel take cuts with word times, and these "
            "have none: prepare them with scripts/align.py (before their codes are cached)"
        )


def _check_layer(layer: int | None, num_layers: int) -> None:
    """Make sure that there is such a layer.

    Raises:
        ValueError: If there is none.
    """
    if layer is not None and not 0 <= layer < num_layers:
        raise ValueError(f"--alignment_layer {layer}: give one from 0 to {num_layers - 1}")


def find_last(output_dir: Path) -> Path | None:
    """The newest checkpoint in a run's folder, if there is any."""
    last = get_last_checkpoint(str(output_dir)) if output_dir.is_dir() else None
    return Path(last) if last else None


def _check_flags(
    model_args: ModelArguments,
    lora_args: LoraArguments,
    data_args: DataArguments,
    args: SledTrainingArguments,
) -> None:
    """Find what one group of flags alone does not show.

    Raises:
        ValueError: For flags that are missing or do not go together.
    """
    for flag in ("train_manifest", "tokenizer"):
        if not getattr(data_args, flag):
            raise ValueError(f"--{flag} is missing: name what to train with (see --help)")
    if args.eval_strategy != "no" and not data_args.eval_manifest:
        raise ValueError(
            f"--eval_manifest is missing for --eval_strategy {args.eval_strategy.value}: name what "
            "to evaluate on, or pass --eval_strategy no"
        )
    if lora_args.lora_rank and model_args.finetune_path is None:
        raise ValueError(
            f"--lora_rank {lora_args.lora_rank}: adapters belong to a model that is there already, "
            "name it with --finetune_path"
        )
    if model_args.distill_cfg is not None and model_args.finetune_path is None:
        raise ValueError(
            f"--distill_cfg {model_args.distill_cfg:g}: only a model that is there already can be "
            "guided, name it with --finetune_path"
        )


def save_result(trainer: SledTrainer) -> None:
    """Write the final model: of averaged weights, if they are kept, and with adapters merged in.

    Raises:
        OSError: If it cannot be written.
    """
    if trainer.average is not None:
        trainer.average.apply()  # the weights of the last step are in the last checkpoint
    with trainer.staged() as folder:
        if unwrap(trainer.model) is trainer.model:
            trainer.save_model(str(folder))
        elif trainer.args.should_save:
            save_merged(trainer.model, trainer.processing_class, folder)
        if trainer.args.should_save:
            trainer.state.save_to_json(str(folder / TRAINER_STATE_NAME))
            publish_model(folder, Path(trainer.args.output_dir))


def training_batches(
    data: DataArguments, args: SledTrainingArguments, codec: Codec
) -> SpeechBatches:
    """This process's share of the training batches."""
    manifests = list(map(Path, data.train_manifest))

    def open_epoch(epoch: int) -> CutSet:
        return open_corpus(
            manifests,
            weights=data.train_weights or None,
            data_path=Path(data.data_path) if data.data_path else None,
            max_samples=data.max_train_samples,
            max_duration_s=data.max_duration_s,
            shuffle_seed=args.seed + epoch,
        )

    limit = args.max_frames_per_batch
    return SpeechBatches(
        open_epoch,
        max_cuts=args.per_device_train_batch_size if limit is None else None,
        max_duration_s=None if limit is None else limit / codec.frame_rate,
        quadratic_duration_s=args.quadratic_duration_s,
        by_length=args.group_by_speech_length,
        per_step=args.gradient_accumulation_steps,
        seed=args.seed,
        rank=args.process_index,
        world_size=args.world_size,
    )


def evaluation_batches(data: DataArguments, args: SledTrainingArguments) -> SpeechBatches:
    """This process's share of the evaluation batches."""
    manifests = list(map(Path, data.eval_manifest))
    return SpeechBatches(
        lambda epoch: open_corpus(
            manifests,
            data_path=Path(data.data_path) if data.data_path else None,
            max_samples=data.max_eval_samples,
        ),
        max_cuts=args.per_device_eval_batch_size,
        rank=args.process_index,
        world_size=args.world_size,
    )
