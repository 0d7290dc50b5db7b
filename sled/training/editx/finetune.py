"""Fine-tunes Step-Audio-EditX's language model, as a configuration in YAML says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import set_seed
from typing_extensions import override

from sled.data.tokens.options import COSYVOICE2
from sled.data.tokens.parquet import read_data_list
from sled.data.tokens.pipeline import TokenBatches, TokenLoader
from sled.text.published_tokenizers import load_corpus_tokenizer
from sled.training.editx.chat import (
    ADAPTER_TARGETS,
    FIRST_SPEECH,
    NUM_SPEECH,
    SYSTEM_PROMPT,
    ChatLM,
    ChatTokenizer,
    load_chat_lm,
)
from sled.training.tokens.arguments import TokenTrainingArguments
from sled.training.tokens.run import run_trainer
from sled.training.tokens.trainer import TokenTrainer

# Epochs between the checkpoints that are kept.
KEPT_EVERY = 5
# Of both codebooks together, per second.
TOKEN_RATE = 25 + 25 * 2 / 3

DEFAULTS: dict[str, dict[str, Any]] = {
    "basic": {"seed": 42, "log_interval": 50},
    "data": {
        "train_data": None,
        "cv_data": None,
        "max_frames_in_batch": 2000,
        "shuffle_size": 1000,
        "sort_size": 500,
        "num_workers": 0,
    },
    "model": {"llm": None},
    "optim": {
        "lr_llm": 1e-4,
        "weight_decay": 0.01,
        "grad_clip": 5,
        "accum_grad": 4,
        "warmup_steps": 3000,
    },
    "stage": {"stage1_epochs": 25},
}
LLM_DEFAULTS: dict[str, Any] = {
    "path": None,
    "lora_r": 8,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "lora_targets": list(ADAPTER_TARGETS),
    "system_prompt": SYSTEM_PROMPT,
    "trust_remote_code": False,
    "first_speech": FIRST_SPEECH,
    "num_speech": NUM_SPEECH,
}


def read_settings(path: Path) -> dict[str, Any]:
    """Read a configuration; settings of other modes are left out.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no configuration, or lacks a setting.
    """
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(given, dict) or not all(isinstance(one, dict) for one in given.values()):
        raise ValueError(f"{path} is no configuration: it needs the parts {', '.join(DEFAULTS)}")
    settings = {part: defaults | given.get(part, {}) for part, defaults in DEFAULTS.items()}
    settings["model"] = LLM_DEFAULTS | (settings["model"]["llm"] or {})
    for part, name in (("data", "train_data"), ("data", "cv_data"), ("model", "path")):
        if not settings[part][name]:
            shown = "model.llm.path" if part == "model" else f"{part}.{name}"
            raise ValueError(f"{path} lacks {shown}: add it")
    return settings


def finetune_llm(config: Path, output: Path, *, use_cpu: bool = False, bf16: bool = False) -> Path:
    """Fine-tune the language model; an interrupted run continues where it stopped.

    Args:
        config: The configuration.
        output: Folder of the result: `llm_best.pt` and others, and, in `llm`, adapters in the form
            of peft, or the whole model.
        use_cpu: Train on the CPU even if there is a GPU.
        bf16: Compute in bfloat16 where that is safe.

    Returns:
        The folder.

    Raises:
        ValueError: If configuration or data cannot be used.
        OSError: If something cannot be read or written.
    """
    settings = read_settings(config)
    data, optim, llm = settings["data"], settings["optim"], settings["model"]
    args = TokenTrainingArguments(
        output_dir=str(output / "llm"),
        max_epochs=settings["stage"]["stage1_epochs"],
        learning_rate=float(optim["lr_llm"]),
        weight_decay=float(optim["weight_decay"]),
        max_grad_norm=optim["grad_clip"],
        gradient_accumulation_steps=optim["accum_grad"],
        warmup_steps=optim["warmup_steps"],
        lr_scheduler_type="constant_with_warmup",
        logging_steps=settings["basic"]["log_interval"],
        seed=settings["basic"]["seed"],
        max_frames_in_batch=data["max_frames_in_batch"],
        shuffle_size=data["shuffle_size"],
        sort_size=data["sort_size"],
        streaming_share=0.0,
        save_strategy="no",  # each epoch ends with a checkpoint
        save_total_limit=1,
        report_to="none",
        use_cpu=use_cpu,
        bf16=bf16,
    )

    def make_trainer() -> TokenTrainer:
        set_seed(args.seed)
        model = load_chat_lm(
            Path(llm["path"]),
            rank=llm["lora_r"],
            alpha=llm["lora_alpha"],
            dropout=llm["lora_dropout"],
            targets=llm["lora_targets"],
            trust_remote_code=llm["trust_remote_code"],
            first_speech=llm["first_speech"],
            num_speech=llm["num_speech"],
        )
        tokenizer = ChatTokenizer(load_corpus_tokenizer(llm["path"]), llm["system_prompt"])
        options = replace(
            COSYVOICE2,
            max_frames_in_batch=args.max_frames_in_batch,
            shuffle_size=args.shuffle_size,
            sort_size=args.sort_size,
            token_max_length=model.config.architecture.max_position_embeddings,
            max_output_input_ratio=10.0,  # a chat has more tokens than its text
            speech_token_size=model.ids.speech,
            token_rate=TOKEN_RATE,
            with_audio=False,
        )

        def loader(name: str, training: bool) -> TokenLoader:
            batches = TokenBatches(
                read_data_list(Path(data[name])),
                tokenizer.ids,
                options,
                rank=args.process_index,
                world_size=args.world_size,
                training=training,
                seed=args.seed,
            )
            return TokenLoader(batches, data["num_workers"], prefetch=10)

        return ChatTrainer(
            model=model,
            args=args,
            train_loader=loader("train_data", training=True),
            eval_loader=loader("cv_data", training=False),
            published=BestCheckpoints(output),
            flags={"settings": settings},
            processing_class=tokenizer,
        )

    run_trainer(make_trainer, args)
    return output


class ChatTrainer(TokenTrainer):
    """Trains a `ChatLM`; see `TokenTrainer`."""

    @override
    def save_lm(self, folder: Path) -> None:
        model: Any = self.model
        model.save(folder)

    @override
    def load_lm(self, folder: Path) -> None:
        model: Any = self.model
        model.load(folder)


class BestCheckpoints:
    """Writes `llm_best.pt` after the best epoch, and `llm_epoch_<n>.pt` after every fifth.

    Args:
        folder: Where they are written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(
        self,
        model: Any,
        *,
        epoch: int,
        step: int,
        is_whole: bool,
        learning_rate: float,
        losses: Mapping[str, float],
    ) -> None:
        """Write what is due after an epoch; see `PublishedCheckpoints.save`."""
        assert isinstance(model, ChatLM)
        content = {
            "epoch": epoch,
            "model_state_dict": {n: one.cpu() for n, one in model.trained_state().items()},
            "val_loss": losses["loss"],
        }
        if (epoch + 1) % KEPT_EVERY == 0:
            self._write(content, self._folder / f"llm_epoch_{epoch + 1}.pt")
        best = self._folder / "llm_best.pt"
        if not best.is_file() or losses["loss"] < self._loss_of(best):
            self._write(content, best)

    @staticmethod
    def _loss_of(path: Path) -> float:
        return float(torch.load(path, weights_only=True)["val_loss"])

    @staticmethod
    def _write(content: Mapping[str, Any], path: Path) -> None:
        partial = path.with_name(f".{path.name}.part")
        torch.save(dict(content), partial)
        os.replace(partial, path)
