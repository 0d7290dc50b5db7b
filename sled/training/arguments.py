"""Flags of a training run, over and above transformers' own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from transformers import HfArgumentParser, TrainingArguments

BACKBONE_LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def _flag(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


def _list(text: str) -> Any:
    return field(default_factory=list, metadata={"help": text})


@dataclass
class ModelArguments:
    """Sizes of a new model, and what an existing one is changed to."""

    _argument_group_name = "model"

    hidden_size: int = _flag(1024, "width of the backbone")
    intermediate_size: int = _flag(2752, "width of its gated MLP")
    num_hidden_layers: int = _flag(12, "decoder layers")
    num_attention_heads: int = _flag(16, "query heads")
    num_key_value_heads: int | None = _flag(None, "key and value heads (default: query heads)")
    max_position_embeddings: int = _flag(2048, "positions: text tokens plus frames of a sample")
    dropout: float = _flag(0.1, "dropout on both residual branches")
    attention_dropout: float = _flag(0.1, "dropout on attention weights")
    activation_dropout: float = _flag(0.1, "dropout inside the MLP")
    diffloss_d: int = _flag(6, "residual blocks of the energy head")
    diffloss_w: int = _flag(1024, "width of the energy head")
    noise_channels: int = _flag(128, "width of the head's noise")
    training_cfg: float = _flag(0.1, "probability that a sample's text is dropped, for guidance")
    history_noise: float = _flag(
        0.0, "noise added to the latents the model reads in training, in units of their RMS"
    )
    scheduled_sampling: float = _flag(
        0.0,
        "largest share of the latents the model reads in training that are its own, drawn in two "
        "passes more, in the place of the true ones: from 0, none, to 1",
    )
    score: str = _flag("energy", "score that trains the head: energy or gaussian_mmd")
    score_beta: float = _flag(1.0, "exponent of the energy distance")
    score_samples: int = _flag(2, "samples drawn per frame")
    stream_n: int | None = _flag(None, "text tokens per chunk; unset: offline layout")
    stream_m: int | None = _flag(None, "frames per chunk; unset: offline layout")
    text_normalization: str | None = _flag(
        None,
        "what is done to texts before they become tokens: english (numbers and abbreviations in "
        "words) or english-phonemes (and words as they sound); unset: nothing",
    )
    distill_cfg: float | None = _flag(
        None,
        "teach the model of finetune_path to speak by itself as it does under guidance of this "
        "scale: then a frame takes one pass instead of two; unset: learn from speech, as usual",
    )
    finetune_path: str | None = _flag(
        None, "start from this checkpoint folder (or its model.safetensors), keeping its sizes"
    )


@dataclass
class LoraArguments:
    """Adapters that are trained in the place of the weights of an existing model."""

    _argument_group_name = "adapters"

    lora_rank: int = _flag(
        0,
        "rank of low-rank adapters (LoRA), trained while the weights of finetune_path stay as "
        "they are; 0: no adapters, train all weights",
    )
    lora_alpha: int = _flag(32, "adapters count for lora_alpha / lora_rank")
    lora_dropout: float = _flag(0.0, "dropout on the input of adapters")
    lora_targets: list[str] = field(
        default_factory=lambda: list(BACKBONE_LINEARS),
        metadata={
            "help": "linear layers to adapt, by the ends of their names; those of the energy head "
            "are cond_embed, input_proj, mlp.0, mlp.2, adaLN_modulation.1 and linear"
        },
    )

    def __post_init__(self) -> None:
        if self.lora_rank < 0:
            raise ValueError(f"--lora_rank {self.lora_rank} is below 0: use 0 for no adapters")


@dataclass
class DataArguments:
    """What is trained on."""

    _argument_group_name = "data"

    train_manifest: list[str] = _list("cut manifests (.jsonl.gz) or folders of cached codes")
    train_weights: list[float] = _list(
        "mix the corpora: how often each is drawn from, in proportion; unset: each once an "
        "epoch, mixed"
    )
    eval_manifest: list[str] = _list("likewise, for evaluation")
    data_path: str | None = _flag(
        None, "folder that relative audio paths start from; unset: that of each manifest"
    )
    codec: str = _flag("facebook/encodec_24khz", "codec: folder, hub name or .th file")
    tokenizer: str = _flag("", "folder or hub name with vocab.json and merges.txt")
    max_duration_s: float | None = _flag(
        None, "train only on samples up to this long: short ones first teach what text means"
    )
    join_share: float = _flag(
        0.0,
        "share of training samples that are joined to one before, of the same speaker: so a model "
        "learns to go on after a prompt, and to tell by what it hears how far it has come",
    )
    max_joined_s: float = _flag(15.0, "join samples to no more than so many seconds")
    max_train_samples: int | None = _flag(None, "train on only so many samples of each corpus")
    max_eval_samples: int | None = _flag(None, "evaluate on only so many samples")


@dataclass
class RunArguments:
    """What transformers' own flags do not say of a run."""

    _argument_group_name = "training"

    group_by_speech_length: bool = _flag(True, "batch samples of like length together")
    max_frames_per_batch: int | None = _flag(
        None,
        "fill batches up to so many frames, counting padding if grouped by length, instead of a "
        "number of samples",
    )
    quadratic_duration_s: float | None = _flag(
        None,
        "with max_frames_per_batch, let long samples count for more, as they cost more: a sample "
        "of d seconds counts as d + d^2 / this",
    )
    offline_share: float = _flag(
        0.0,
        "share of batches that keep the offline layout in streaming fine-tuning, so that one "
        "checkpoint serves both",
    )
    alignment_weight: float = _flag(
        0.0,
        "weight of the loss that teaches an attention head which token is being said: with 1 a "
        "model reads much sooner; takes word times in the training manifests (scripts/align.py)",
    )
    alignment_layer: int | None = _flag(
        None, "whose first head that is, counted from 0; unset: the middle one"
    )
    untold_share: float = _flag(
        0.2,
        "with a codec that has a token channel: share of samples at whose beginning it is empty in "
        "what the model hears, as it is after a recorded prompt",
    )
    num_eval_utterances: int = _flag(
        2,
        "with --report_to tensorboard, speak so many texts of the evaluation corpus at each "
        "evaluation; 0: none",
    )
    model_dtype: str = _flag(
        "float32", "weights and optimiser state: float32, or bfloat16 to halve their memory"
    )
    ema_decay: float = _flag(
        0.0,
        "keep a moving average of the weights, of about 1 / (1 - this) steps, to be evaluated and "
        "to be the final model; 0: none",
    )
    max_minutes: float | None = _flag(
        None,
        "end after so many minutes, saving included, with a checkpoint that the same command goes "
        "on from",
    )
    compile_layers: bool = _flag(False, "compile the decoder layers with torch.compile")
    overwrite_output_dir: bool = _flag(
        False,
        "accepted for the published commands: a run found in output_dir is continued all the same; "
        "name another folder to start anew",
    )


@dataclass
class TransformersArguments(TrainingArguments):
    """transformers' own flags, with defaults that suit this model."""

    _argument_group_name = "training, flags of transformers"

    max_steps: int = _flag(100_000, "optimiser steps of the whole run")
    # The model reads what the batch brings, whatever the forward's argument names are.
    remove_unused_columns: bool = _flag(False, "leave at False: batches are not datasets columns")
    # Looking for them costs time at every step.
    ddp_find_unused_parameters: bool | None = _flag(
        False, "leave at False: a step uses all weights"
    )


@dataclass
class SledTrainingArguments(RunArguments, TransformersArguments):
    """What the trainer is given."""

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        device = super().device
        # Processes on a CPU have it numbered, and older versions cannot load optimisers to that.
        return torch.device("cpu") if device.type == "cpu" else device

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_steps < 1:
            raise ValueError(
                f"--max_steps {self.max_steps}: the corpus is a stream without an end, so give the "
                "number of steps, not of epochs"
            )
        if self.n_gpu > 1:
            raise ValueError(
                f"one process sees {self.n_gpu} GPUs: start one for each (torchrun "
                f"--nproc_per_node {self.n_gpu} scripts/...), or let it see a single one "
                "(CUDA_VISIBLE_DEVICES=0)"
            )
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise ValueError(f"--max_minutes {self.max_minutes:g}: give some time, or leave it out")
        if self.model_dtype not in ("float32", "bfloat16"):
            raise ValueError(f"--model_dtype {self.model_dtype}: choose float32 or bfloat16")
        if self.alignment_weight < 0:
            raise ValueError(f"--alignment_weight {self.alignment_weight:g}: 0 is none at all")
        if not 0 <= self.untold_share <= 1:
            raise ValueError(f"--untold_share {self.untold_share:g}: use a share from 0 to 1")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(
                f"--ema_decay {self.ema_decay:g}: use a share under 1, such as 0.999, or 0 for none"
            )
        if self.ema_decay and self.load_best_model_at_end:
            raise ValueError(
                "--ema_decay and --load_best_model_at_end exclude each other: a run ends "
                "either with its average or with its best checkpoint"
            )
        # A filtered NaN would train on unseen.
        self.logging_nan_inf_filter = False


def make_parser(
    defaults: Mapping[str, Any] | None = None, description: str | None = None
) -> HfArgumentParser:
    """The flags of a training script, in groups.

    Args:
        defaults: In the place of those that the flags come with.
        description: What the script does.
    """
    groups = [
        ModelArguments,
        LoraArguments,
        DataArguments,
        RunArguments,
        TransformersArguments,
    ]
    parser = HfArgumentParser(
        groups, description=description, usage="%(prog)s [flags]", allow_abbrev=False
    )
    parser.set_defaults(**(defaults or {}))
    return parser


def parse_flags(
    argv: Sequence[str] | None = None,
    defaults: Mapping[str, Any] | None = None,
    description: str | None = None,
) -> tuple[ModelArguments, LoraArguments, DataArguments, SledTrainingArguments]:
    """Parse the command line of a training script.

    Args:
        argv: Command line. None: the process's own.
        defaults, description: As for `make_parser`.

    Raises:
        ValueError: For an unknown flag, or a value that cannot be.
    """
    values, unknown = make_parser(defaults, description).parse_known_args(argv)
    if unknown:
        raise ValueError(f"unknown flags or values {' '.join(unknown)}: see --help")

    def fill(arguments: type[Any]) -> Any:
        names = (one.name for one in fields(arguments) if one.init)
        return arguments(**{name: getattr(values, name) for name in names})

    return (
        fill(ModelArguments),
        fill(LoraArguments),
        fill(DataArguments),
        fill(SledTrainingArguments),
    )
