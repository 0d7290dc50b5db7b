"""SimpleTTS's training command of its flow: its flags, as a run of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from transformers import set_seed

from sled.codec.features import MEL_22K, MEL_SIMPLETTS
from sled.codec.flow.simpletts import SimpleTTSFlow, SimpleTTSFlowSizes
from sled.data.tokens.options import COSYVOICE, PipelineOptions
from sled.training.flow.batch import flow_batch, flow_options, no_ids, without_text
from sled.training.flow.start import fit_output
from sled.training.flow.trainer import FlowTrainer
from sled.training.run_arguments import FlagParser, fill, setting
from sled.training.simpletts.flags import (
    Prepare,
    SimpleTTSData,
    SimpleTTSTraining,
    make_parser,
    prepare_corpora,
    read_flags,
)
from sled.training.tokens.run import run_trainer
from sled.training.tokens.setup import make_loader

MELS = {"cosyvoice": MEL_22K, "simpletts": MEL_SIMPLETTS}
# As published: the longest recording in units of 10 ms, and the deviation of new weights.
_MAX_LENGTH, _WEIGHT_STD = 3_000, 0.02
# Batches that tell the means of the mel bands.
_FIRST_BATCHES = 4


@dataclass
class SimpleTTSMel:
    """What the flow makes."""

    mel: str = setting(
        "cosyvoice",
        "mel spectrogram: cosyvoice, which vocoders of 22.05 kHz read, or simpletts, as published; "
        "not a published flag",
    )


def make_flow_parser(description: str | None = None) -> FlagParser:
    """The parser of the published flags."""
    return make_parser(
        (SimpleTTSFlowSizes, SimpleTTSData, SimpleTTSMel, SimpleTTSTraining), description
    )


def train_flow(
    prepare: Prepare, argv: Sequence[str] | None = None, description: str | None = None
) -> Path:
    """Train as SimpleTTS's command for its flow says.

    Args:
        prepare: Prepares a corpus; its recordings need no texts.
        argv: Its flags. None: those of the process.
        description: For --help.

    Returns:
        The folder of the flow.

    Raises:
        ValueError: If flags or data cannot be used.
        OSError: If something cannot be read or written.
    """
    values = read_flags(make_flow_parser(description), argv)
    if values.mel not in MELS:
        raise ValueError(f"--mel {values.mel}: choose {' or '.join(MELS)}")
    args, sizes = fill(SimpleTTSTraining, values), fill(SimpleTTSFlowSizes, values)
    # An expert may be used by no position, and the output layer of tokens is never used.
    args.ddp_find_unused_parameters = True
    assert args.output_dir is not None  # transformers sets a default
    data = fill(SimpleTTSData, values)
    lists = prepare_corpora(data, Path(args.output_dir) / "data", prepare)
    base = replace(COSYVOICE, mel=MELS[values.mel], max_length=_MAX_LENGTH)

    def make_trainer() -> FlowTrainer:
        set_seed(args.seed)
        flow = SimpleTTSFlow(sizes)
        options = args.batches(without_text(flow_options(base, flow)))
        _begin(flow, lists["train"], options, args)
        return FlowTrainer(
            model=flow,
            args=args,
            train_loader=make_loader([lists["train"]], no_ids, options, args, training=True),
            eval_loader=make_loader([lists["eval"]], no_ids, options, args, training=False)
            if "eval" in lists
            else None,
            eval_dataset=lists.get("eval"),
            flags=vars(values),
        )

    return run_trainer(make_trainer, args)


def _begin(
    flow: SimpleTTSFlow, corpus: Path, options: PipelineOptions, args: SimpleTTSTraining
) -> None:
    """Give a flow its first weights, the same on every process."""
    flow.llm.model.initialize(_WEIGHT_STD)
    loader = make_loader([corpus], no_ids, options, args, training=False)
    batches = (flow_batch(raw, flow) for raw in islice(loader, _FIRST_BATCHES))
    mels = [
        mel[:, :frames]
        for batch in batches
        for mel, frames in zip(batch.mel, batch.num_frames, strict=True)
    ]
    fit_output(flow, mels)
