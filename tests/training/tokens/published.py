"""A tiny published setting: a Qwen2 folder with a tokenizer, a configuration, and a corpus."""

from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from tests.data.tokens.corpora import WIDTH, make_parquet
from tests.debug import debug_tokenizer

COSYVOICE2 = """
__set_seed1: !apply:random.seed [1986]
qwen_pretrain_path: ''
token_frame_rate: 25
llm: !new:cosyvoice.llm.llm.Qwen2LM
    llm_input_size: 32
    speech_token_size: 6561
    length_normalized_loss: True
    lsm_weight: 0
    mix_ratio: [5, 15]
    llm: !new:cosyvoice.llm.llm.Qwen2Encoder
        pretrain_path: !ref <qwen_pretrain_path>
    sampling: !name:cosyvoice.utils.common.ras_sampling
        top_p: 0.8
filter: !name:cosyvoice.dataset.processor.filter
    max_length: 40960
    min_length: 50
batch: !name:cosyvoice.dataset.processor.batch
    batch_type: 'dynamic'
    max_frames_in_batch: !ref <token_frame_rate> * 12
data_pipeline: [!ref <filter>, !ref <batch>]
train_conf:
    optim: adam
    optim_conf:
        lr: 1e-3
    scheduler: warmuplr
    scheduler_conf:
        warmup_steps: 2
    max_epoch: 2
    grad_clip: 5
    accum_grad: 2
    log_interval: 1
    save_per_step: -1
"""
COSYVOICE = """
llm: !new:cosyvoice.llm.llm.TransformerLM
    text_encoder_input_size: 16
    llm_input_size: 32
    llm_output_size: 32
    text_token_size: 300
    speech_token_size: 6561
    spk_embed_dim: WIDTH
    text_encoder: !new:cosyvoice.transformer.encoder.ConformerEncoder
        output_size: 32
        attention_heads: 4
        linear_units: 48
        num_blocks: 1
        dropout_rate: 0.0
    llm: !new:cosyvoice.transformer.encoder.TransformerEncoder
        output_size: 32
        attention_heads: 4
        linear_units: 48
        num_blocks: 1
        dropout_rate: 0.0
train_conf:
    max_epoch: 1
    scheduler: constantlr
    log_interval: 1
""".replace("WIDTH", str(WIDTH))


def make_setting(folder: Path) -> Path:
    """Write `qwen`, `cosyvoice.yaml`, `cosyvoice2.yaml` and a corpus into a folder."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder / "qwen")
    debug_tokenizer().save_pretrained(folder / "qwen")
    (folder / "cosyvoice.yaml").write_text(COSYVOICE)
    (folder / "cosyvoice2.yaml").write_text(COSYVOICE2)
    make_parquet(folder / "corpus")
    return folder


def published_flags(setting: Path, output: Path, **changes: object) -> list[str]:
    """The published flags of a run."""
    listed = setting / "corpus" / "parquet" / "data.list"
    flags = {
        "--train_engine": "torch_ddp",
        "--model": "llm",
        "--config": setting / "cosyvoice2.yaml",
        "--train_data": listed,
        "--cv_data": listed,
        "--qwen_pretrain_path": setting / "qwen",
        "--model_dir": output,
        "--tensorboard_dir": output / "curves",
        "--ddp.dist_backend": "gloo",
        "--num_workers": 0,
        "--prefetch": 100,
        "--timeout": 60,
        "--deepspeed.save_states": "model+optimizer",
    } | {f"--{name}": value for name, value in changes.items()}
    words = [str(word) for pair in flags.items() for word in pair if pair[1] is not None]
    return [*words, "--pin_memory"]
