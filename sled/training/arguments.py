"""Flags of a training run, in addition to those of transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sled.training.run_arguments import (
    FlagParser,
    RunArguments,
    TrainerArguments,
    TransformersArguments,
    fill,
    list_setting,
    make_flag_parser,
    parse_known_flags,
    setting,
)
from sled.training.short_help import FIRST_FLAGS

BACKBONE_LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def _inherited(text: str, new: str) -> Any:
    """A setting that a checkpoint has; `new` is the default for a new model."""
    return setting(None, f"{text}; unset: as in finetune_path, or {new} for a new model")


@dataclass
class ModelArguments:
    """Sizes of a new model, and training settings of a new or existing model.

    Settings of the training objective are None when unset. A new model then has the defaults of its
    configuration, and a checkpoint keeps its own settings.
    """

    _argument_group_name = "model"

    hidden_size: int = setting(1024, "width of the backbone; all sizes are for new models only")
    intermediate_size: int = setting(2752, "width of its gated MLP")
    num_hidden_layers: int = setting(12, "decoder layers")
    num_attention_heads: int = setting(16, "query heads")
    num_key_value_heads: int | None = setting(None, "key and value heads (default: query heads)")
    max_position_embeddings: int = setting(2048, "positions: text tokens plus frames of a sample")
    diffloss_d: int = setting(6, "residual blocks of the energy head")
    diffloss_w: int = setting(1024, "width of the energy head")
    noise_channels: int = setting(128, "width of the head's noise")
    head: str = setting("energy", "head of a new model: energy, flow, flow_map, gaussian")
    head_steps: int = setting(1, "steps in which the head of a new model draws: flow, flow_map")
    conditions: list[str] = list_setting(
        "conditions of a new model as name:width, such as speaker:256; each cut has them in its "
        "custom field conditions"
    )
    dropout: float | None = _inherited("dropout on both residual branches", "0.1")
    attention_dropout: float | None = _inherited("dropout on attention weights", "0.1")
    activation_dropout: float | None = _inherited("dropout inside the MLP", "0.1")
    training_cfg: float | None = _inherited(
        "probability that a sample's text is dropped, for guidance", "0.1"
    )
    history_noise: float | None = _inherited(
        "highest level of the noise on the latents the model reads, in units of their RMS", "0"
    )
    scheduled_sampling: float | None = _inherited(
        "largest share of the units the model reads that are its own draws, from 0 to 1; costs two "
        "more passes",
        "0",
    )
    score: str | None = _inherited(
        "training loss of the energy head: energy, gaussian_mmd, laplacian_mmd, drifting; "
        "attraction, a control, collapses to one draw",
        "energy",
    )
    score_beta: float | None = _inherited("exponent of the energy distance", "1")
    score_samples: int | None = _inherited("samples drawn per frame", "2")
    noise_clamp: float | None = _inherited("largest value of the noise, 0 for no limit", "0")
    time_sampling: str | None = _inherited("times of flows: uniform or lognormal", "uniform")
    stream_n: int | None = _inherited(
        "text tokens per chunk of the streaming layout, 0 for the offline layout", "0"
    )
    stream_m: int | None = _inherited(
        "frames per chunk of the streaming layout, 0 for the offline layout", "0"
    )
    text_normalization: str | None = _inherited(
        "normalisation of texts: english (numbers and abbreviations in words), english-phonemes "
        "(all words in phonemes) or digits (numbers digit by digit)",
        "none",
    )
    distill_cfg: float | None = setting(
        None,
        "distil guidance of this scale into the model of finetune_path, so that a frame takes one "
        "pass instead of two; unset: train on speech",
    )
    finetune_path: str | None = setting(
        None,
        "start from this checkpoint folder (or its model.safetensors), or a bundled model; it "
        "decides the sizes, and all settings that are unset",
    )


@dataclass
class LoraArguments:
    """Low-rank adapters (LoRA), which are trained instead of the weights of an existing model."""

    _argument_group_name = "adapters"

    lora_rank: int = setting(
        0,
        "rank of low-rank adapters (LoRA), trained while the weights of finetune_path are frozen; "
        "0: no adapters, train all weights",
    )
    lora_alpha: int = setting(32, "adapters are scaled by lora_alpha / lora_rank")
    lora_dropout: float = setting(0.0, "dropout on the inputs of adapters")
    lora_targets: list[str] = field(
        default_factory=lambda: list(BACKBONE_LINEARS),
        metadata={
            "help": "linear layers to adapt, by the ends of their names; the energy head has "
            "cond_embed, input_proj, mlp.0, mlp.2, adaLN_modulation.1 and linear"
        },
    )

    def __post_init__(self) -> None:
        if self.lora_rank < 0:
            raise ValueError(f"--lora_rank {self.lora_rank} is below 0: use 0 for no adapters")


@dataclass
class DataArguments:
    """Training and evaluation data."""

    _argument_group_name = "data"

    recordings: str | None = setting(
        None,
        "prepare, align and encode these recordings with transcripts, and train on them: a folder "
        "with metadata.csv or text files, a Kaldi folder, or JSON lines; fine-tunes the bundled "
        "model english unless finetune_path names another one (none: a new model); all other flags "
        "have defaults that suit the recordings",
    )
    train_manifest: list[str] = list_setting("cut manifests (.jsonl.gz) or folders of cached codes")
    train_weights: list[float] = list_setting(
        "relative frequency of each corpus in the mixture; unset: each cut once per epoch, corpora "
        "interleaved"
    )
    eval_manifest: list[str] = list_setting(
        "cut manifests or folders of cached codes for evaluation"
    )
    data_path: str | None = setting(
        None, "folder that relative audio paths start from; unset: the folder of each manifest"
    )
    codec: str | None = setting(
        None,
        "codec: folder, hub name, .th file, spectral (bundled), or a model for its codec; unset: "
        "that of finetune_path, else the one of the codes, else facebook/encodec_24khz",
    )
    transforms: str | None = setting(
        None,
        "fit these transforms of latents to the training codes, in the place of the codec's own, "
        "as sled codec fit does; none: use none; unset: those of the codec, with a token channel "
        "for this tokenizer",
    )
    tokenizer: str | None = setting(
        None,
        "folder or hub name with vocab.json and merges.txt, or a bundled model; unset: that of "
        "finetune_path",
    )
    max_duration_s: float | None = setting(
        None,
        "leave out longer cuts: the relation of text and speech is learned faster from short ones",
    )
    join_share: float = setting(
        0.0,
        "probability that a training cut is joined to the one before it, if the speaker is the "
        "same; it teaches the model to continue after a prompt",
    )
    max_joined_s: float = setting(15.0, "longest joined sample in seconds")
    main_speaker: str | None = setting(
        None,
        "speaker whom the model is to speak like without a prompt: of samples of other speakers "
        "the first second is only read, not learned; unset: any of them",
    )
    max_train_samples: int | None = setting(None, "use only this many cuts of each training corpus")
    max_eval_samples: int | None = setting(
        None, "use only this many cuts of each evaluation corpus"
    )

    def __post_init__(self) -> None:
        for flag in ("max_duration_s", "max_joined_s", "max_train_samples", "max_eval_samples"):
            value = getattr(self, flag)
            if value is not None and not value > 0:
                raise ValueError(f"--{flag} {value:g}: use more than 0")
        if not 0 <= self.join_share <= 1:
            raise ValueError(f"--join_share {self.join_share:g}: use a share from 0 to 1")


@dataclass
class SpeechArguments:
    """Flags of batches and losses of speech."""

    _argument_group_name = "training"

    group_by_speech_length: bool = setting(True, "batch samples of similar length together")
    max_frames_per_batch: int | None = setting(
        None,
        "limit batches by frames instead of samples; padding counts if samples are grouped by "
        "length",
    )
    max_seconds_per_batch: float | None = setting(
        None, "limit batches by seconds of speech instead of samples, like max_frames_per_batch"
    )
    quadratic_duration_s: float | None = setting(
        None,
        "with a limit of frames or seconds, count a sample of d seconds as d + d^2 / this, because "
        "the cost of attention is quadratic; unset: as d",
    )
    offline_share: float = setting(
        0.0,
        "share of batches in the offline layout when training a streaming model, so that it can "
        "do both",
    )
    alignment_weight: float | None = setting(
        None,
        "weight of the loss that guides an attention head to the token being spoken; with 1, a "
        "model learns to read much earlier; needs times of words in the training manifests (sled "
        "align); unset: 1 when fine-tuning with a codec that has a token channel, else 0",
    )
    alignment_layer: int | None = setting(
        None,
        "layer whose first head is guided, counted from 0; unset: that of the checkpoint, or the "
        "middle one",
    )
    aligner: str | None = setting(
        None,
        "network of sled align that listens to what the model draws in training: what it does not "
        "understand is a part of the loss; for models that speak already; unset: nobody listens",
    )
    recognition_weight: float = setting(
        0.1, "weight of the loss of what is not understood, in nats per letter or phoneme"
    )
    recognition_s: float = setting(
        8.0, "seconds of each batch that are listened to, whole samples; 0.1: one sample"
    )
    token_channel_dropout: float = setting(
        0.2,
        "with a codec that has a token channel: share of samples whose channel is empty up to a "
        "random frame in the input of the model, as it is in a recorded prompt",
    )
    num_eval_utterances: int = setting(
        2,
        "with --report_to tensorboard, speak this many texts of the evaluation corpus at each "
        "evaluation; 0: none",
    )
    compile_layers: bool = setting(False, "compile the decoder layers with torch.compile")


@dataclass
class SledTrainingArguments(SpeechArguments, TrainerArguments):
    """All arguments of the trainer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_frames_per_batch is not None and self.max_seconds_per_batch is not None:
            raise ValueError(
                "--max_frames_per_batch and --max_seconds_per_batch exclude each other: give one"
            )
        if self.alignment_weight is not None and self.alignment_weight < 0:
            raise ValueError(f"--alignment_weight {self.alignment_weight:g}: use 0 or more")
        for name in ("recognition_weight", "recognition_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name} {getattr(self, name):g}: use more than 0")
        if not 0 <= self.token_channel_dropout <= 1:
            raise ValueError(
                f"--token_channel_dropout {self.token_channel_dropout:g}: use a share from 0 to 1"
            )


Arguments = tuple[ModelArguments, LoraArguments, DataArguments, SledTrainingArguments]


def make_parser(
    defaults: Mapping[str, Any] | None = None, description: str | None = None
) -> FlagParser:
    """The parser of the training flags, in groups.

    Args:
        defaults: Defaults that replace those of the flags.
        description: Description of the command.
    """
    groups: list[Any] = [
        DataArguments,
        ModelArguments,
        LoraArguments,
        SpeechArguments,
        RunArguments,
        TransformersArguments,
    ]
    parser = make_flag_parser(groups, "sled train", description, FIRST_FLAGS)
    parser.set_defaults(**(defaults or {}))
    return parser


def parse_flags(
    argv: Sequence[str] | None = None,
    defaults: Mapping[str, Any] | None = None,
    description: str | None = None,
) -> Arguments:
    """Parse the command line of a training command.

    Args:
        argv: Command line. None: that of the process.
        defaults: As for `make_parser`.
        description: As for `make_parser`.

    Raises:
        ValueError: If a flag is unknown, or a value is invalid.
    """
    values = parse_known_flags(make_parser(defaults, description), argv)
    return (
        fill(ModelArguments, values),
        fill(LoraArguments, values),
        fill(DataArguments, values),
        fill(SledTrainingArguments, values),
    )
