"""From the flags of a run to its model, its data and its trainer."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from sled.data.tokens.options import COSYVOICE, COSYVOICE2, OnBad, PipelineOptions
from sled.data.tokens.parquet import read_data_list, read_rows
from sled.data.tokens.pipeline import TokenBatches, TokenLoader
from sled.data.tokens.samples import Tokenize
from sled.files.json_object import read_json_object
from sled.model.tokens.cosyvoice import KIND as COSYVOICE_KIND
from sled.model.tokens.cosyvoice2 import KIND as COSYVOICE2_KIND
from sled.model.tokens.cosyvoice2 import CosyVoice2LM
from sled.model.tokens.files import (
    MODELS,
    load_token_lm,
    make_token_lm,
    published_state,
    save_token_config,
)
from sled.model.tokens.lm import TokenLM
from sled.model.tokens.simpletts import KIND as SIMPLETTS_KIND
from sled.model.tokens.simpletts import SimpleTTSLM
from sled.model.tokens.text_model import copy_text_model
from sled.text.published_tokenizers import (
    CorpusTokenizer,
    load_corpus_tokenizer,
)
from sled.training.checks import check_layer
from sled.training.epoch_arguments import EpochTrainingArguments
from sled.training.tokens.arguments import (
    TokenDataArguments,
    TokenModelArguments,
    TokenRun,
    TokenTrainingArguments,
    all_flags,
)
from sled.training.tokens.published_checkpoints import PublishedCheckpoints
from sled.training.tokens.published_config import PublishedConfig
from sled.training.tokens.samples import Start
from sled.training.tokens.trainer import TokenTrainer

logger = logging.getLogger(__name__)

# Rows of a file that are searched for what training needs.
_SEARCHED = 1000

FAMILIES: dict[str, str] = {
    "cosyvoice": COSYVOICE_KIND,
    "cosyvoice2": COSYVOICE2_KIND,
    "simpletts": SIMPLETTS_KIND,
}
"""The class of the language model of each family, by its published name."""


@dataclass(frozen=True, kw_only=True)
class PublishedForm:
    """What a run in the published form has beside its flags.

    Attributes:
        folder: Where checkpoints in the published form are written.
        record: Settings for the record beside each of them.
        start: Where the run begins to count.
        config: The configuration of the run.
    """

    folder: Path
    record: Mapping[str, Any]
    start: Start
    config: PublishedConfig


def make_token_trainer(run: TokenRun, form: PublishedForm | None = None) -> TokenTrainer:
    """Load or make all parts of a run, the same on every process.

    Raises:
        ValueError: If something is missing or does not fit.
        OSError: If a file cannot be read.
    """
    model_args, data_args, args = run
    set_seed(args.seed)
    model = make_model(model_args).to(getattr(torch, args.model_dtype))
    if isinstance(model, SimpleTTSLM):
        args.ddp_find_unused_parameters = True  # an expert may be used by no position
    if args.alignment_weight and model_args.ref_model is not None:
        logger.info("attention is not guided while preferences are learned")
        args.alignment_weight = 0.0
    if model_args.ref_model is not None:
        # Both speeches of a pair are read as they are.
        args.history_noise = args.training_cfg = 0.0
    _check_guidance(model, data_args, args)
    tokenizer = load_tokenizer(model_args, data_args, model.config.architecture.text_normalization)
    if isinstance(model, SimpleTTSLM):
        model.set_text_ends(*tokenizer.ends)  # as its texts are read in training, so when it speaks
    options = pipeline_options(model, data_args, args, form)
    reference = None
    if model_args.ref_model is not None:
        reference = load_token_lm(Path(model_args.ref_model), torch.float32)
    published = None
    if form is not None:
        published = PublishedCheckpoints(
            form.folder, form.record, published_state, save_token_config
        )
        if args.should_save:
            published.save_initial(model, form.start)

    def loader(manifests: list[str], training: bool) -> TokenLoader:
        return make_loader(map(Path, manifests), tokenizer.ids, options, args, training=training)

    total = sum(p.numel() for p in model.parameters())
    logger.info("model: %.1f M parameters", total / 1e6)
    return TokenTrainer(
        model=model,
        args=args,
        train_loader=loader(data_args.train_manifest, True),
        eval_loader=loader(data_args.eval_manifest, False) if data_args.eval_manifest else None,
        eval_dataset=data_args.eval_manifest or None,
        reference=reference,
        start=form.start if form else None,
        published=published,
        publishes_within=form is not None and form.config.save_steps() is not None,
        adam=form.config.optimizer() if form else None,
        flags=all_flags(run),
        processing_class=tokenizer,
    )


def _check_guidance(model: TokenLM, data: TokenDataArguments, args: TokenTrainingArguments) -> None:
    """Raise ValueError if attention is to be guided and the model or the corpus does not fit."""
    if not args.alignment_weight:
        return
    if not isinstance(model, CosyVoice2LM):
        raise ValueError("--alignment_weight is for --family cosyvoice2: leave it out")
    check_layer(args.alignment_layer, model.config.architecture.num_hidden_layers)
    for path in read_data_list(*map(Path, data.train_manifest)):
        try:
            rows = read_rows(path, lambda name, reason: None)
            if any(row.spoken_token is not None for row in islice(rows, _SEARCHED)):
                return
        except ValueError:  # bad files are treated as --on_bad says, when batches are made
            continue
    raise ValueError(
        f"{' and '.join(data.train_manifest)} do not tell which text token is said when, which "
        "--alignment_weight needs: run sled cache spoken before the corpus is packed, or use "
        "--alignment_weight 0"
    )


def make_model(arguments: TokenModelArguments) -> TokenLM:
    """Load the model to start from, or make a new one.

    Raises:
        ValueError: If there is none, or it is of another family.
        OSError: If a file cannot be read.
    """
    if arguments.family not in FAMILIES:
        raise ValueError(f"--family {arguments.family}: choose {', '.join(FAMILIES)}")
    kind = FAMILIES[arguments.family]
    if arguments.finetune_path is not None:
        path = Path(arguments.finetune_path)
        if not path.exists():
            raise ValueError(f"no model at {path}: check --finetune_path")
        model = load_token_lm(path, torch.float32)
    else:
        flat = _sizes(arguments)
        if (found := flat.get("kind")) != kind:
            raise ValueError(
                f"{arguments.config} is a configuration of {found}, --family {arguments.family} "
                f"needs one of {kind}"
            )
        model = make_token_lm(flat, Path(arguments.config or "the configuration"))
        model.initialize()
        if arguments.pretrained_text_model is not None:
            if not isinstance(model, CosyVoice2LM):
                raise ValueError("--pretrained_text_model is for --family cosyvoice2 only")
            copy_text_model(model, Path(arguments.pretrained_text_model))
    if type(model) is not MODELS[kind]:
        raise ValueError(
            f"{arguments.finetune_path} is no model of --family {arguments.family}: it is a "
            f"{type(model).__name__}"
        )
    return model


def _sizes(arguments: TokenModelArguments) -> dict[str, Any]:
    text_model = arguments.pretrained_text_model
    if arguments.config is None:
        if arguments.family == "cosyvoice2" and text_model is not None:
            return {
                "kind": COSYVOICE2_KIND,
                "qwen2": read_json_object(Path(text_model) / "config.json"),
            }
        raise ValueError(
            "--config is missing: name the sizes of a new model, or a model to start from with "
            "--finetune_path"
        )
    path = Path(arguments.config)
    if path.suffix in (".yaml", ".yml"):
        return PublishedConfig.load(path, Path(text_model) if text_model else None).model_sizes()
    return read_json_object(path)


def load_tokenizer(
    model: TokenModelArguments, data: TokenDataArguments, normalization: str | None = None
) -> CorpusTokenizer:
    """Load the text tokenizer that flags name.

    Args:
        model: Flags of the model.
        data: Flags of the data.
        normalization: How texts are normalised first.

    Raises:
        ValueError: If there is none.
    """
    name = data.tokenizer or model.pretrained_text_model
    if name is None and model.finetune_path is not None and Path(model.finetune_path).is_dir():
        name = model.finetune_path
    if name is None:
        raise ValueError("--tokenizer is missing: name the folder of the text tokenizer")
    added = CosyVoice2LM.ADDED_TOKENS if model.family == "cosyvoice2" else ()
    return load_corpus_tokenizer(
        name, added, with_ends=model.family == "simpletts", normalization=normalization
    )


def pipeline_options(
    model: TokenLM,
    data: TokenDataArguments,
    args: TokenTrainingArguments,
    form: PublishedForm | None,
) -> PipelineOptions:
    """Return the options of the data pipeline of a run.

    Raises:
        ValueError: For an unknown way to treat bad data.
    """
    if data.on_bad not in ("skip", "stop"):
        raise ValueError(f"--on_bad {data.on_bad}: choose skip or stop")
    on_bad: OnBad = "skip" if data.on_bad == "skip" else "stop"
    if form is not None:
        return replace(form.config.pipeline(), on_bad=on_bad, with_audio=False)
    return replace(
        args.batches(COSYVOICE2 if isinstance(model, CosyVoice2LM) else COSYVOICE),
        use_spk_embedding=data.speaker_means,
        on_bad=on_bad,
        with_audio=False,
        speech_token_size=model.ids.speech,
        token_rate=model.config.architecture.frame_rate,
    )


def make_loader(
    manifests: Iterable[Path],
    tokenize: Tokenize,
    options: PipelineOptions,
    args: EpochTrainingArguments,
    *,
    training: bool,
) -> TokenLoader:
    """Make the loader of a corpus.

    Args:
        manifests: Its `data.list` files.
        tokenize: Maps a text to its tokens.
        options: Of the data pipeline.
        args: Flags of the run.
        training: As for `TokenBatches`.

    Raises:
        ValueError: If a list cannot be read.
    """
    batches = TokenBatches(
        read_data_list(*manifests),
        tokenize,
        options,
        rank=args.process_index,
        world_size=args.world_size,
        training=training,
        seed=args.seed,
    )
    return TokenLoader(
        batches,
        num_workers=args.dataloader_num_workers,
        prefetch=args.dataloader_prefetch_factor or 2,
        pin_memory=args.dataloader_pin_memory and torch.cuda.is_available(),
    )
