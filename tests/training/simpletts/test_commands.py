"""SimpleTTS's commands: from JSON lines of audio, and of text, to a model and to a flow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sled.codec.flow.files import load_flow
from sled.codec.flow.simpletts import SimpleTTSFlow
from sled.codec.speaker.network import SpeakerNetwork
from sled.codec.speech_tokens.export import export_tokenizer
from sled.codec.speech_tokens.network import TokenizerNetwork, TokenizerSizes
from sled.loading import load_tokenizer, read_config
from sled.model.tokens.files import load_token_lm
from sled.model.tokens.simpletts import SimpleTTSLM
from sled.text.published_tokenizers import load_corpus_tokenizer
from tests.codec.speaker.test_encoder import TINY
from tests.commands import run_script
from tests.data.tokens.corpora import make_folder
from tests.debug import debug_tokenizer

EXPERTS = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 40,
    "num_experts": 4,
    "spk_embed_dim": TINY.embedding_size,
}
# Of the published command, shortened.
PUBLISHED = """--bf16 True --per_device_train_batch_size 8 --per_device_eval_batch_size 1
--save_steps 8000 --learning_rate 3e-4 --weight_decay 0.01 --adam_beta2 0.95 --warmup_steps 2
--lr_scheduler_type cosine --gradient_checkpointing --logging_steps=1"""


def make_flags(folder: Path, output: str, *, text: bool) -> dict[str, Any]:
    """The flags of a command, with its corpus and the networks that it is extracted with."""
    if not (folder / "train.jsonl").exists():
        source = make_folder(folder / "source", count=4, tables=False)
        lines = [
            json.dumps({"wav": str(path)} | ({"txt": f"number {number}"} if text else {}))
            for number, path in enumerate(sorted((source / "wav").iterdir()))
        ]
        (folder / "train.jsonl").write_text("\n".join(lines))
        torch.manual_seed(0)
        save_file(SpeakerNetwork(TINY).state_dict(), folder / "campplus.safetensors")
        sizes = TokenizerSizes(n_audio_state=64, n_audio_head=1, n_audio_layer=1)
        network = TokenizerNetwork(sizes).eval()
        export_tokenizer(network, folder / "speech_tokenizer_v2.onnx")
    return {
        "data_path": folder / "train.jsonl",
        "eval_data_path": folder / "train.jsonl",
        "campplus_onnx_path": folder / "campplus.safetensors",
        "speech_tokenizer": folder / "speech_tokenizer_v2.onnx",
        "output_dir": folder / output,
        "max_steps": 2,
        "report_to": "none",
        "use_cpu": True,
    } | EXPERTS


def run(script: str, flags: dict[str, Any]) -> int:
    words = [str(word) for name, value in flags.items() for word in (f"--{name}", value)]
    return run_script(script, *words, *PUBLISHED.split())


def history(folder: Path, key: str) -> dict[int, float]:
    """The logged values of a run, by step."""
    state = json.loads((folder / "trainer_state.json").read_text())
    return {entry["step"]: entry[key] for entry in state["log_history"] if key in entry}


def test_a_model_is_trained_on_json_lines(tmp_path: Path) -> None:
    flags = make_flags(tmp_path, "model", text=True)
    debug_tokenizer().save_pretrained(tmp_path / "tokenizer")
    flags |= {"vocab_size": 7200, "tokenizer": tmp_path / "tokenizer"}
    assert run("train_llm", flags) == 0
    model = load_token_lm(tmp_path / "model")
    assert isinstance(model, SimpleTTSLM)
    assert model.sizes.text_vocab == debug_tokenizer().vocab_size
    assert list(history(tmp_path / "model", "loss")) == [1, 2]
    # It is spoken with the tokens that it has learned: `<s>` and `</s>`, then speech begins.
    config = read_config(tmp_path / "model")
    learned = load_corpus_tokenizer(tmp_path / "tokenizer", with_ends=True).ids("four two")
    spoken = load_tokenizer(tmp_path / "model", config).encode("four two")
    assert spoken == [*learned, model.sizes.text_vocab]
    assert (learned[0], learned[-1]) == (0, 2)


def test_a_flow_is_trained_on_recordings(tmp_path: Path) -> None:
    flags = make_flags(tmp_path, "flow", text=False)
    flags |= {"codes": 6561, "eval_strategy": "steps", "eval_steps": 1}
    assert run("train_dit", flags) == 0
    flow = load_flow(tmp_path / "flow")
    assert isinstance(flow, SimpleTTSFlow)
    assert flow.to_mels.bias.mean() < -2  # it began with the means of the mel bands
    losses = history(tmp_path / "flow", "eval_loss")
    assert losses[2] < losses[1]
    assert history(tmp_path / "flow", "frames_per_second").keys() == {1, 2}


@pytest.mark.parametrize("script", ["train_llm", "train_dit"])
@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "--data_path is missing"),
        (["--nonsense", "1"], "unknown flags or values --nonsense"),
    ],
)
def test_what_cannot_be_used_is_named(script, words, problem, capsys, tmp_path):
    assert run_script(script, "--output_dir", str(tmp_path), *words) == 2
    assert problem in capsys.readouterr().err
