"""Checkpoints in several files: written in shards, loaded, and refused if one is missing."""

import json
from pathlib import Path

import pytest
import torch

from sled import TTS
from sled.files.checkpoint import INDEX_FILE, WEIGHTS_FILE, missing_files
from sled.model.huggingface import SpeechLlamaForCausalLM
from sled.training.export import export
from tests.commands import run
from tests.debug import GOLDENS, debug_checkpoint, debug_model, debug_tokenizer
from tests.training.runs import fit, make_corpus

VOCAB_SIZE = debug_tokenizer().vocab_size


@pytest.fixture(scope="module")
def sharded(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sharded")
    export(
        debug_checkpoint(folder / "whole", vocab_size=VOCAB_SIZE),
        folder / "shards",
        GOLDENS / "codec",
        dtype="float32",
        max_shard_size="40KB",
    )
    return folder / "shards"


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("model-*.safetensors"))


def test_no_file_of_weights_is_larger_than_asked(sharded):
    assert len(shards(sharded)) > 1
    assert max(path.stat().st_size for path in shards(sharded)) < 50_000  # 40 KB and a header
    assert not (sharded / WEIGHTS_FILE).exists()
    assert missing_files(sharded) == []


def test_shards_hold_the_whole_model(sharded):
    loaded = SpeechLlamaForCausalLM.from_pretrained(sharded, dtype=torch.float32)
    for name, weight in debug_model(vocab_size=VOCAB_SIZE).named_parameters():
        assert loaded.get_parameter(name).equal(weight)
    assert TTS.from_pretrained(sharded).model.config.architecture.vocab_size == VOCAB_SIZE


def test_training_goes_on_from_shards(sharded, tmp_path):
    corpus = make_corpus(tmp_path)
    still = fit(corpus, tmp_path / "run", finetune_path=sharded, learning_rate=0.0, max_steps=1)
    loaded = SpeechLlamaForCausalLM.from_pretrained(still, dtype=torch.float32)
    assert loaded.z_proj.weight.equal(debug_model(vocab_size=VOCAB_SIZE).z_proj.weight)


def test_another_export_to_the_same_folder_replaces_them(tmp_path):
    whole = debug_checkpoint(tmp_path / "whole")
    for size, is_sharded in (("50GB", False), ("40KB", True), ("50GB", False)):
        flags = ("--model", whole, "--output", tmp_path / "out", "--max_shard_size", size)
        assert run("export", *flags) == 0
        assert (tmp_path / "out" / INDEX_FILE).exists() == is_sharded
        assert (tmp_path / "out" / WEIGHTS_FILE).exists() != is_sharded


def test_missing_shards_are_named(sharded, tmp_path):
    for path in sharded.iterdir():
        if path.is_file() and path != shards(sharded)[0]:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match=f"lacks {shards(sharded)[0].name}"):
        TTS.from_pretrained(tmp_path)


@pytest.mark.parametrize("index", ["{", json.dumps({"weight_map": [1]}), json.dumps([])])
def test_an_index_that_cannot_be_read_is_named(index, tmp_path):
    (tmp_path / INDEX_FILE).write_text(index)
    with pytest.raises(ValueError, match="index.json does not say where the weights are"):
        missing_files(tmp_path)


def test_a_size_that_is_none_is_refused(tmp_path, capsys):
    whole = debug_checkpoint(tmp_path / "whole")
    flags = ("--model", whole, "--output", tmp_path / "out", "--max_shard_size", "small")
    assert run("export", *flags) == 2
    assert capsys.readouterr().err.startswith("error: ")
