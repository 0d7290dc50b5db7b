"""The recipe of Step-Audio's flow: mixed tokens of two codebooks, a configuration without `llm`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from sled.codec.flow.files import load_flow
from sled.codec.flow.step import StepFlow
from sled.codec.speech_tokens.dual import MIXED_RATE, align_codebooks
from sled.data.tokens.pack import write_parquet
from sled.data.tokens.tables import (
    SPEAKER_VECTORS,
    SPEECH_TOKENS,
    UTTERANCE_VECTORS,
    write_table,
)
from sled.training.flow.batch import flow_batch
from sled.training.tokens.cosyvoice_flags import train_published
from tests.codec.flow.models import step_flow
from tests.commands import ROOT
from tests.data.tokens.corpora import SPEAKERS, make_folder, name, seconds
from tests.debug import GOLDENS, randn

COUNT = 4


def mixed_tokens(count: int, seed: int) -> np.ndarray:
    """Mixed tokens that the tiny flow of the recordings has."""
    return np.random.default_rng(seed).integers(step_flow().vocab_size - 1, size=count)


def test_mixed_tokens_become_rows() -> None:
    mixed = torch.stack([torch.from_numpy(mixed_tokens(12, seed)) for seed in range(2)])
    batch = flow_batch(
        {
            "speech_token": mixed,
            "speech_token_len": torch.tensor([12, 10], dtype=torch.int32),
            "speech_feat": randn(2, 20, 80),
            "speech_feat_len": torch.tensor([20, 13], dtype=torch.int32),
            "embedding": randn(2, step_flow().speaker_size),
        },
        step_flow(),
    )
    # Two frames for each row, of which the shorter one decides.
    assert batch.num_tokens.tolist() == [9, 6] and batch.num_frames.tolist() == [18, 12]
    assert batch.tokens[0].equal(align_codebooks(mixed[0])[:9])
    assert batch.tokens[1, :6].equal(align_codebooks(mixed[1, :10])[:6])


def test_the_published_command_trains_it(tmp_path: Path) -> None:
    source, random = make_folder(tmp_path / "source", COUNT, tables=False), np.random.default_rng(0)
    names = [name(number) for number in range(COUNT)]
    rows = {
        one: mixed_tokens(round(MIXED_RATE * seconds(number)), number)
        for number, one in enumerate(names)
    }
    width = step_flow().speaker_size
    write_table(source / SPEECH_TOKENS, rows)
    write_table(source / UTTERANCE_VECTORS, {one: random.normal(size=width) for one in names})
    write_table(source / SPEAKER_VECTORS, {one: random.normal(size=width) for one in SPEAKERS})
    write_parquet(source, tmp_path / "parquet")
    listed = str(tmp_path / "parquet" / "data.list")
    text = (ROOT / "runs" / "step_flow" / "conf" / "step_flow.yaml").read_text()
    text = text.replace("max_epoch: 100", "max_epoch: 2").replace(
        "min_length: 100", "min_length: 1"
    )
    (tmp_path / "short.yaml").write_text(text.replace("warmup_steps: 2500", "warmup_steps: 2"))
    flags = [
        "--model",
        "flow",
        "--config",
        tmp_path / "short.yaml",
        "--model_dir",
        tmp_path / "run",
    ]
    flags += ["--train_data", listed, "--cv_data", listed, "--ddp.dist_backend", "gloo"]
    flags += ["--tensorboard_dir", str(tmp_path / "curves")]
    with pytest.raises(ValueError, match="--checkpoint"):
        train_published([*map(str, flags)])
    flags += ["--checkpoint", GOLDENS / "token-flow" / "step_flow"]
    output = train_published([*map(str, flags)])
    records = [yaml.safe_load((output / f"epoch_{n}_whole.yaml").read_text()) for n in range(2)]
    assert records[1]["step"] > records[0]["step"] > 0
    assert isinstance(load_flow(output / "epoch_1_whole.pt"), StepFlow)
