"""Fine-tunes Step-Audio-EditX's language model and flow, as a configuration in YAML says.

The two have no weights in common. So the joint stage, in which both are trained further at a lower
learning rate, is a stage of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import set_seed
from typing_extensions import override

from sled.codec.speech_tokens.dual import MIXED_RATE
from sled.data.tokens.options import COSYVOICE2
from sled.data.tokens.pipeline import TokenLoader
from sled.text.published_tokenizers import load_corpus_tokenizer
from sled.training.editx.chat import ChatTokenizer
from sled.training.editx.checkpoints import BestCheckpoints
from sled.training.editx.finetuned import begin_llm
from sled.training.editx.flow import finetune_flow
from sled.training.editx.settings import BOTH, FLOW, JOINT, LLM, Stage, read_settings, stage_flags
from sled.training.tokens.arguments import TokenTrainingArguments
from sled.training.tokens.run import run_trainer
from sled.training.tokens.setup import make_loader
from sled.training.tokens.trainer import TokenTrainer


def finetune(
    config: Path,
    output: Path,
    mode: str | None = None,
    *,
    use_cpu: bool = False,
    bf16: bool = False,
) -> Path:
    """Fine-tune one model or both; an interrupted run continues where it stopped.

    Args:
        config: The configuration.
        output: Folder of the result: `llm_best.pt`, `flow_best.pt` and others, and a folder for
            each stage with the whole result: `llm`, `flow`, and with `both` also `joint_llm` and
            `joint_flow`.
        mode: "llm", "flow", or "both": each model, then both together. None: `basic.train_mode` of
            the configuration.
        use_cpu: Train on the CPU even if there is a GPU.
        bf16: Compute in bfloat16 where that is safe.

    Returns:
        The folder.

    Raises:
        ValueError: If configuration or data cannot be used.
        OSError: If something cannot be read or written.
    """
    settings = read_settings(config, mode)
    mode = settings["basic"]["train_mode"]
    stage, how = settings["stage"], {"use_cpu": use_cpu, "bf16": bf16}
    if mode != FLOW:
        finetune_llm(settings, output, Stage(name=LLM, epochs=stage["stage1_epochs"]), **how)
    if mode != LLM:
        finetune_flow(settings, output, Stage(name=FLOW, epochs=stage["stage2_epochs"]), **how)
    if mode == BOTH:
        both = {"epochs": stage["stage3_epochs"], "lr_scale": stage["joint_lr_scale"]}
        joint = [Stage(name=f"{JOINT}_{one}", after=output / one, **both) for one in (LLM, FLOW)]
        finetune_llm(settings, output, joint[0], **how)
        finetune_flow(settings, output, joint[1], **how)
    return output


def finetune_llm(
    settings: Mapping[str, Any], output: Path, stage: Stage, *, use_cpu: bool, bf16: bool
) -> None:
    """Make a stage of the language model.

    Its folder gets adapters in the form of peft, or the whole model.

    Args:
        settings: From `read_settings`.
        output: Folder of the checkpoints.
        stage: The stage.
        use_cpu: As for `finetune`, as the next.
        bf16: See there.

    Raises:
        ValueError: If the data cannot be used.
        OSError: If something cannot be read or written.
    """
    data, llm = settings["data"], settings["model"][LLM]
    args = TokenTrainingArguments(
        **stage_flags(settings, output, stage, "lr_llm"),
        streaming_share=0.0,
        use_cpu=use_cpu,
        bf16=bf16,
    )

    def make_trainer() -> TokenTrainer:
        set_seed(args.seed)
        model = begin_llm(settings)
        if stage.after is not None:
            model.load(stage.after)
        tokenizer = ChatTokenizer(load_corpus_tokenizer(llm["path"]), llm["system_prompt"])
        options = replace(
            args.batches(COSYVOICE2),
            token_max_length=model.config.architecture.max_position_embeddings,
            max_output_input_ratio=10.0,  # a chat has more tokens than its text
            speech_token_size=model.ids.speech,
            token_rate=MIXED_RATE,
            with_audio=False,
        )

        def loader(name: str, training: bool) -> TokenLoader:
            return make_loader([Path(data[name])], tokenizer.ids, options, args, training=training)

        return ChatTrainer(
            model=model,
            args=args,
            train_loader=loader("train_data", training=True),
            eval_loader=loader("cv_data", training=False),
            published=BestCheckpoints(output, LLM, stage.name, settings),
            flags={"settings": dict(settings)},
            processing_class=tokenizer,
        )

    run_trainer(make_trainer, args)


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
