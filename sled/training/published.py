"""The published training runs: defaults of train_libriheavy and train_libriheavy_stream.

SLED, arXiv 2505.13181: 204 M parameters, 8 GPUs, the 50,000 hours of Libriheavy.
"""

from typing import Any

# Offline layout: all text before all speech.
LIBRIHEAVY: dict[str, Any] = {
    "training_cfg": 0.1,
    "num_hidden_layers": 12,
    "diffloss_d": 6,
    "noise_channels": 128,
    "dataloader_num_workers": 8,
    "dataloader_pin_memory": True,
    "group_by_speech_length": True,
    "eval_strategy": "steps",
    "eval_steps": 10_000,
    "prediction_loss_only": True,
    "per_device_train_batch_size": 8,
    "per_device_eval_batch_size": 24,
    "gradient_accumulation_steps": 8,
    "bf16": True,
    "learning_rate": 5e-4,
    "weight_decay": 0.01,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0,
    "max_steps": 300_000,
    "lr_scheduler_type": "linear",
    "warmup_steps": 32_000,
    "logging_first_step": True,
    "logging_steps": 100,
    "save_steps": 10_000,
    "save_total_limit": 10,
    "output_dir": "./runs/libriheavy",
    "report_to": "tensorboard",
    "disable_tqdm": True,
    "ddp_timeout": 3600,
}

# Streaming layout, from the last checkpoint of the offline run: 5 text tokens, 45 frames.
LIBRIHEAVY_STREAM: dict[str, Any] = LIBRIHEAVY | {
    "finetune_path": "./runs/libriheavy/checkpoint-300000/model.safetensors",
    "stream_n": 5,
    "stream_m": 45,
    "learning_rate": 3e-4,
    "max_steps": 100_000,
    "warmup_steps": 10_000,
    "output_dir": "./runs/libriheavy_stream",
}
