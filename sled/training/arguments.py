"""Flags of a training run, over and above transformers' own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from transformers import TrainingArguments


def _flag(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass
class ModelArguments:
    """Sizes of a new model, and what an existing one is changed to."""

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
    score: str = _flag("energy", "score that trains the head: energy or gaussian_mmd")
    score_beta: float = _flag(1.0, "exponent of the energy distance")
    score_samples: int = _flag(2, "samples drawn per frame")
    stream_n: int | None = _flag(None, "text tokens per chunk; unset: offline layout")
    stream_m: int | None = _flag(None, "frames per chunk; unset: offline layout")
    finetune_path: str | None = _flag(
        None, "start from this checkpoint folder (or its model.safetensors), keeping its sizes"
    )


@dataclass
class DataArguments:
    """What is trained on."""

    train_manifest: str = _flag("", "cut manifest (.jsonl.gz) or folder of cached codes")
    eval_manifest: str | None = _flag(None, "likewise, for evaluation")
    codec: str = _flag("facebook/encodec_24khz", "codec: folder, hub name or .th file")
    tokenizer: str = _flag("", "folder or hub name with vocab.json and merges.txt")
    max_train_samples: int | None = _flag(None, "train on only so many samples")
    max_eval_samples: int | None = _flag(None, "evaluate on only so many samples")


@dataclass
class SledTrainingArguments(TrainingArguments):
    """transformers' training flags plus ours, with defaults that suit this model."""

    group_by_speech_length: bool = _flag(True, "batch samples of like length together")
    max_frames_per_batch: int | None = _flag(
        None, "fill batches up to so many padded frames instead of a number of samples"
    )
    offline_share: float = _flag(
        0.0,
        "share of batches that keep the offline layout in streaming fine-tuning, so that one "
        "checkpoint serves both",
    )
    overwrite_output_dir: bool = _flag(
        False, "start anew although output_dir holds checkpoints, instead of resuming"
    )
    # The model reads what the batch brings, whatever the forward's argument names are.
    remove_unused_columns: bool = _flag(False, "leave at False: batches are not datasets columns")
