"""SimpleTTS's command: from JSON lines of audio and text to a model."""

import json

import pytest
import torch
from safetensors.torch import save_file

from sled.codec.speaker.network import SpeakerNetwork
from sled.codec.speech_tokens.export import export_tokenizer
from sled.codec.speech_tokens.network import TokenizerNetwork, TokenizerSizes
from sled.model.tokens.files import load_token_lm
from sled.model.tokens.simpletts import SimpleTTSLM
from tests.codec.speaker.test_encoder import TINY
from tests.commands import run_script
from tests.data.tokens.corpora import make_folder
from tests.debug import debug_tokenizer

SIZES = {
    "vocab_size": 7200,
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


def test_a_model_is_trained_on_json_lines(tmp_path):
    folder = make_folder(tmp_path / "source", count=4, tables=False)
    lines = [
        json.dumps({"wav": str(path), "txt": f"number {number}"})
        for number, path in enumerate(sorted((folder / "wav").iterdir()))
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    torch.manual_seed(0)
    save_file(SpeakerNetwork(TINY).state_dict(), tmp_path / "campplus.safetensors")
    sizes = TokenizerSizes(n_audio_state=64, n_audio_head=1, n_audio_layer=1)
    export_tokenizer(TokenizerNetwork(sizes).eval(), tmp_path / "speech_tokenizer_v2.onnx")
    debug_tokenizer().save_pretrained(tmp_path / "tokenizer")
    flags = {
        "data_path": tmp_path / "train.jsonl",
        "eval_data_path": tmp_path / "train.jsonl",
        "campplus_onnx_path": tmp_path / "campplus.safetensors",
        "speech_tokenizer": tmp_path / "speech_tokenizer_v2.onnx",
        "tokenizer": tmp_path / "tokenizer",
        "output_dir": tmp_path / "model",
        "max_steps": 2,
        "report_to": "none",
        "use_cpu": True,
    } | SIZES
    words = [str(word) for name, value in flags.items() for word in (f"--{name}", value)]
    assert run_script("train_llm", *words, *PUBLISHED.split()) == 0
    model = load_token_lm(tmp_path / "model")
    assert isinstance(model, SimpleTTSLM)
    assert model.sizes.text_vocab == debug_tokenizer().vocab_size
    state = json.loads((tmp_path / "model" / "trainer_state.json").read_text())
    assert [entry["step"] for entry in state["log_history"] if "loss" in entry] == [1, 2]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "--data_path is missing"),
        (["--nonsense", "1"], "unknown flags or values --nonsense"),
    ],
)
def test_what_cannot_be_used_is_named(words, problem, capsys, tmp_path):
    assert run_script("train_llm", "--output_dir", str(tmp_path), *words) == 2
    assert problem in capsys.readouterr().err
