"""Flags of the training of language models of speech tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sled.training.epoch_arguments import EpochArguments, EpochTrainingArguments
from sled.training.run_arguments import (
    FlagParser,
    RunArguments,
    TransformersArguments,
    fill,
    list_setting,
    make_flag_parser,
    parse_known_flags,
    setting,
)

FIRST_FLAGS = (
    *("family", "train_manifest", "eval_manifest", "tokenizer", "finetune_path", "config"),
    *("pretrained_text_model", "streaming_share", "schedule", "ref_model", "max_frames_in_batch"),
    *("output_dir", "max_steps", "max_epochs", "max_minutes", "learning_rate", "warmup_steps"),
    *("gradient_accumulation_steps", "ema_decay", "bf16", "use_cpu", "seed"),
    *("logging_steps", "save_steps", "eval_strategy", "eval_steps", "report_to"),
)


@dataclass
class TokenModelArguments:
    """The model, and where its weights come from."""

    _argument_group_name = "model"

    family: str = setting("cosyvoice2", "what is trained: cosyvoice, cosyvoice2 or simpletts")
    finetune_path: str | None = setting(
        None, "start from this model: a folder, or a file such as llm.pt; it decides the sizes"
    )
    config: str | None = setting(
        None,
        "sizes of a new model: a config.json as a model folder has it, or a published .yaml",
    )
    pretrained_text_model: str | None = setting(
        None,
        "folder of a Qwen2 model whose layers and text embeddings a new cosyvoice2 begins with",
    )
    ref_model: str | None = setting(
        None,
        "learn preferences (DPO) with this reference model, a folder or llm.pt; the corpus must "
        "have rejected speech tokens",
    )


@dataclass
class TokenDataArguments:
    """Training and evaluation data."""

    _argument_group_name = "data"

    train_manifest: list[str] = list_setting("lists of Parquet files, data.list")
    eval_manifest: list[str] = list_setting("the same for evaluation")
    tokenizer: str | None = setting(
        None,
        "text tokenizer: a folder or hub name with tokenizer.json, or a folder of sled tokenizer; "
        "unset: that of "
        "finetune_path or of pretrained_text_model",
    )
    on_bad: str = setting("skip", "skip utterances and files that cannot be used, or stop")
    speaker_means: bool = setting(
        False, "read the mean vector of each speaker instead of that of the utterance"
    )


@dataclass
class TokenArguments:
    """Layouts and losses of speech tokens."""

    _argument_group_name = "speech tokens"

    streaming_share: float = setting(
        0.5, "share of samples that are learned in the streaming layout, where a model has one"
    )
    label_smoothing: float = setting(0.0, "probability that is shared by all other ids")
    length_normalized_loss: bool = setting(
        True, "divide the loss by the number of targets, else by that of samples"
    )
    history_noise: float = setting(
        0.0,
        "highest share of past speech tokens, of FSQ tokens of their digits, that are replaced "
        "while they are read, so that the model relies on its text",
    )
    training_cfg: float = setting(
        0.0, "share of samples that are learned without their text, so that --cfg guides"
    )
    preference_beta: float = setting(0.01, "how strongly preferences are held to ref_model")
    alignment_weight: float = setting(
        0.0,
        "weight of guided attention: one head learns to attend to the text token of the next "
        "speech token; for family cosyvoice2 and a corpus with utt2spoken_token.pt (sled cache "
        "spoken); 0: none",
    )
    alignment_layer: int | None = setting(
        None, "layer of that head, from 0; unset: the one in the middle"
    )


@dataclass
class TokenTrainingArguments(TokenArguments, EpochTrainingArguments):
    """All arguments of the trainer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.streaming_share <= 1:
            raise ValueError(f"--streaming_share {self.streaming_share:g}: use a share from 0 to 1")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"--label_smoothing {self.label_smoothing:g}: use a share below 1")
        for name in ("history_noise", "training_cfg"):
            if not 0 <= (share := getattr(self, name)) <= 1:
                raise ValueError(f"--{name} {share:g}: use a share from 0 to 1")
        if self.alignment_weight < 0:
            raise ValueError(f"--alignment_weight {self.alignment_weight:g} is below 0: use 0")


TokenRun = tuple[TokenModelArguments, TokenDataArguments, TokenTrainingArguments]


def make_token_parser(description: str | None = None) -> FlagParser:
    """The parser of these flags, in groups."""
    groups: list[Any] = [
        TokenModelArguments,
        TokenDataArguments,
        TokenArguments,
        EpochArguments,
        RunArguments,
        TransformersArguments,
    ]
    return make_flag_parser(groups, "sled train", description, FIRST_FLAGS)


def parse_token_flags(argv: Sequence[str] | None, description: str | None = None) -> TokenRun:
    """Parse a command line.

    Raises:
        ValueError: If a flag is unknown, or a value is invalid.
    """
    values = parse_known_flags(make_token_parser(description), argv)
    return (
        fill(TokenModelArguments, values),
        fill(TokenDataArguments, values),
        fill(TokenTrainingArguments, values),
    )


def all_flags(run: TokenRun) -> dict[str, Any]:
    """Return all flags of a run, for its record."""
    model, data, args = run
    return {
        "model": asdict(model),
        "data": asdict(data),
        "training": args.to_dict(),  # type: ignore[no-untyped-call]
    }
