"""From the flags of a run to its model, its data and its trainer."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from lhotse import CutSet
from transformers import set_seed

from sled.codec import Codec
from sled.data.alignment.trained import TrainedAligner
from sled.data.dataset import SpeechDataset, num_cuts, open_corpus
from sled.data.lengths import (
    measure_frames_per_token,
    measure_known_words,
    measure_speech_level,
    measure_trained_frames,
)
from sled.data.sampling import SpeechBatches
from sled.model.config import KEYS, Config, Objective
from sled.model.huggingface import SpeechLlamaConfig, SpeechLlamaForCausalLM
from sled.text.tokenizer import TextTokenizer
from sled.training.arguments import (
    DataArguments,
    LoraArguments,
    ModelArguments,
    SledTrainingArguments,
)
from sled.training.checkpoints.lora import add_adapters
from sled.training.checks import (
    check_alignment,
    check_layer,
    check_lengths,
    check_speaker,
    check_token_channel,
)
from sled.training.distillation import GuidedTeacher, make_student
from sled.training.parts import codec_name, load_run_codec, load_tokenizer, start_folder
from sled.training.recognition import Recognition
from sled.training.trainer import SledTrainer

logger = logging.getLogger(__name__)

_LAYOUT_KEYS = {"stream_n", "stream_m"}
# Keys that the weights of a checkpoint do not depend on, so that fine-tuning may change them.
_FREE_KEYS = {field.name for field in fields(Objective)} | _LAYOUT_KEYS


def make_trainer(
    model_args: ModelArguments,
    lora_args: LoraArguments,
    data_args: DataArguments,
    args: SledTrainingArguments,
) -> SledTrainer:
    """Load or make all parts of a run, the same on every process.

    Raises:
        ValueError: If something is missing or does not fit.
    """
    set_seed(args.seed)
    start = start_folder(model_args.finetune_path)
    # From here on by name, for the record of the run.
    data_args.codec = codec_name(data_args, start)
    if data_args.tokenizer is None and start is not None:
        data_args.tokenizer = str(start)
    tokenizer = load_tokenizer(data_args, start)
    assert args.output_dir is not None  # transformers sets a default
    run_codec = load_run_codec(data_args, start, tokenizer, Path(args.output_dir))
    codec = run_codec.parts.assemble(str(args.device))
    model = build_model(model_args, tokenizer, codec).to(getattr(torch, args.model_dtype))
    # The configuration of the model decides the normalisation of texts.
    tokenizer = load_tokenizer(data_args, start, model.config.architecture.text_normalization)
    _set_alignment(args, model.config, codec, is_new=start is None)
    train_batches = training_batches(data_args, args, codec)
    eval_batches = evaluation_batches(data_args, args) if data_args.eval_manifest else None
    _check_data(data_args, args, codec, tokenizer, train_batches, eval_batches)
    train_dataset = SpeechDataset(
        tokenizer,
        codec,
        data_args.join_share,
        data_args.max_joined_s,
        with_spoken_tokens=_needs_times(args, codec),
        main_speaker=data_args.main_speaker,
        conditions=model.config.architecture.conditions,
    )
    _measure_lengths(model, train_batches.open_epoch, train_dataset, codec, is_new=start is None)
    if args.compile_layers:
        for layer in model.model.layers:
            layer.compile(dynamic=True)
    flags = {
        "model": _resolved(model_args, model.config),
        "lora": asdict(lora_args),
        "data": asdict(data_args),
        "training": args.to_dict(),  # type: ignore[no-untyped-call]
    }
    teacher = None
    if model_args.distill_cfg is not None:
        teacher = GuidedTeacher(model, model_args.distill_cfg)
        make_student(model, model_args.distill_cfg)
    trained_model = add_adapters(model, lora_args) if lora_args.lora_rank else model
    _log_size(trained_model)
    trainer = SledTrainer(
        model=trained_model,
        args=args,
        codec=codec,
        train_dataset=train_dataset,
        train_batches=train_batches,
        eval_batches=eval_batches,
        eval_dataset=data_args.eval_manifest or None,
        flags=flags,
        teacher=teacher,
        recognition=_load_recognition(args, codec, tokenizer, teacher is not None),
        processing_class=tokenizer,
    )
    trainer.accelerator.wait_for_everyone()  # others may still be reading what is replaced
    if args.process_index == 0:
        run_codec.save()
    return trainer


def build_model(
    arguments: ModelArguments, tokenizer: TextTokenizer, codec: Codec
) -> SpeechLlamaForCausalLM:
    """Make a new model, or load a checkpoint and apply the settings that are given.

    Raises:
        ValueError: If there is no such checkpoint, or it does not fit the tokenizer, the codec or
            the settings.
    """
    settings = {
        key: None if key in _LAYOUT_KEYS and value == 0 else value
        for key, value in asdict(arguments).items()
        if key in KEYS and value is not None
    }
    unit_size = codec.unit_shape[0] if codec.unit_shape else codec.codebook_size
    ours = (tokenizer.vocab_size, unit_size, codec.frame_rate)
    if arguments.finetune_path is None:
        settings["conditions"] = _parse_conditions(arguments.conditions)
        sizes = dict(zip(("vocab_size", "vae_embed_dim", "frame_rate"), ours, strict=True))
        return SpeechLlamaForCausalLM(SpeechLlamaConfig(**sizes, **settings))

    folder = start_folder(arguments.finetune_path)
    assert folder is not None
    config = SpeechLlamaConfig.from_pretrained(folder)
    old = config.architecture
    theirs = (old.vocab_size, old.vae_embed_dim, old.frame_rate)
    if (theirs[0], theirs[2]) != (ours[0], ours[2]):
        raise ValueError(
            f"{folder} has {theirs[0]} tokens and {theirs[2]:g} units a second; the tokenizer has "
            f"{ours[0]} and the codec {ours[2]:g}: use the tokenizer it was trained with, and a "
            "codec of that rate"
        )
    if arguments.text_normalization not in (None, old.text_normalization):
        raise ValueError(
            f"--text_normalization {arguments.text_normalization}: {folder} was trained with "
            f"{old.text_normalization or 'none'}, leave the flag out"
        )
    free = {key: value for key, value in settings.items() if key in _FREE_KEYS}
    config = SpeechLlamaConfig(**(config.to_dict() | free))  # checks all settings together
    # In float32: half precision, in which checkpoints are published, would round updates away.
    model: SpeechLlamaForCausalLM = SpeechLlamaForCausalLM.from_pretrained(
        folder, config=config, dtype=torch.float32
    )
    return model if theirs[1] == ours[1] else with_unit_size(model, ours[1])


def with_unit_size(model: SpeechLlamaForCausalLM, size: int) -> SpeechLlamaForCausalLM:
    """A model for units of another size. Only weights whose shape depends on it are new."""
    config = SpeechLlamaConfig(**(model.config.to_dict() | {"vae_embed_dim": size}))
    other = SpeechLlamaForCausalLM(config)
    shapes = {name: weight.shape for name, weight in other.state_dict().items()}
    kept = {name: w for name, w in model.state_dict().items() if w.shape == shapes[name]}
    new = other.load_state_dict(kept, strict=False).missing_keys
    logger.info(
        "units have %d numbers instead of %d: %s begin anew",
        size,
        model.config.architecture.vae_embed_dim,
        ", ".join(new),
    )
    return other


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

    check_lengths(data, open_epoch)
    limit_s = args.max_seconds_per_batch
    if args.max_frames_per_batch is not None:
        limit_s = args.max_frames_per_batch / codec.frame_rate
    return SpeechBatches(
        open_epoch,
        num_cuts=lambda: sum(map(num_cuts, manifests)),
        max_cuts=args.per_device_train_batch_size if limit_s is None else None,
        max_duration_s=limit_s,
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


def _parse_conditions(flags: Iterable[str]) -> dict[str, int]:
    """Widths of conditions by name, from words such as speaker:256."""
    conditions = {}
    for flag in flags:
        name, _, width = flag.partition(":")
        if not width.isdecimal():
            raise ValueError(f"--conditions {flag}: give a name and a width, such as speaker:256")
        conditions[name] = int(width)
    return conditions


def _load_recognition(
    args: SledTrainingArguments, codec: Codec, tokenizer: TextTokenizer, distills: bool
) -> Recognition | None:
    if args.aligner is None:
        return None
    if distills:
        raise ValueError("--aligner: a student of guided states draws nothing; leave it out")
    aligner = TrainedAligner.load(Path(args.aligner), str(args.device))
    return Recognition(aligner, codec, tokenizer, args.recognition_s)


def _resolved(arguments: ModelArguments, config: SpeechLlamaConfig) -> dict[str, Any]:
    """The model's flags; those that are unset have the values of the model."""
    given = asdict(arguments)
    return given | {key: getattr(config, key) for key in given if key in KEYS}


def _measure_lengths(
    model: SpeechLlamaForCausalLM,
    open_epoch: Any,
    dataset: SpeechDataset,
    codec: Codec,
    *,
    is_new: bool,
) -> None:
    """Record in the model what its speech depends on: lengths, words and level of the data."""
    lengths = measure_frames_per_token(open_epoch(0), dataset.tokenizer, codec)
    longest = measure_trained_frames(open_epoch(0), dataset.group, codec)
    speaking = model.config.speaking
    if is_new:
        speaking.trained_frames = longest
    elif speaking.trained_frames is not None:  # None: the checkpoint may have had longer samples
        speaking.trained_frames = max(longest, speaking.trained_frames)
    speaking.min_frames_per_token = round(lengths.low, 3)
    speaking.max_frames_per_token = round(lengths.high, 3)
    speaking.known_words = measure_known_words(open_epoch(0), dataset.tokenizer)
    if (level := measure_speech_level(open_epoch(0), codec)) is not None:
        speaking.speech_level_db = round(level.level_db, 1)
        speaking.lead_s, speaking.tail_s = round(level.lead_s, 2), round(level.tail_s, 2)
        speaking.output_gain_db = None  # follows from the level


def _set_alignment(
    args: SledTrainingArguments, config: Config, codec: Codec, *, is_new: bool
) -> None:
    """Choose the weight of guided attention if it is unset, and record the layer that is guided.

    Raises:
        ValueError: If the model has no such layer.
    """
    num_layers = config.architecture.num_hidden_layers
    check_layer(args.alignment_layer, num_layers)
    if args.alignment_weight is None:
        args.alignment_weight = 0.0 if is_new or codec.token_channel is None else 1.0
    if args.alignment_weight == 0:
        return
    if args.alignment_layer is not None:
        config.speaking.alignment_layer = args.alignment_layer
    elif config.speaking.alignment_layer is None:  # otherwise the one that was guided before
        config.speaking.alignment_layer = num_layers // 2


def _needs_times(args: SledTrainingArguments, codec: Codec) -> bool:
    """Whether training needs to know when words are said."""
    return codec.token_channel is not None or bool(args.alignment_weight)


def _check_data(
    data: DataArguments,
    args: SledTrainingArguments,
    codec: Codec,
    tokenizer: TextTokenizer,
    train_batches: SpeechBatches,
    eval_batches: SpeechBatches | None,
) -> None:
    """Raise ValueError if codec, tokenizer and corpora do not fit each other or the flags."""
    check_token_channel(codec, tokenizer)
    if _needs_times(args, codec):
        check_alignment(data.train_manifest, train_batches.open_epoch(0))
    if data.main_speaker is not None:
        check_speaker(data.main_speaker, train_batches.open_epoch(0))
    if codec.token_channel is not None and eval_batches is not None:
        check_alignment(data.eval_manifest, eval_batches.open_epoch(0))


def _log_size(model: torch.nn.Module) -> None:
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    logger.info("model: %.1f M parameters, %.1f M trained", total / 1e6, trained / 1e6)
