"""The published training commands, word for word."""

import shlex

LIBRIHEAVY = shlex.split(
    "--training_cfg 0.1 --num_hidden_layers 12 --diffloss_d 6 --noise_channels 128 "
    "--dataloader_num_workers 8 --dataloader_pin_memory True --remove_unused_columns False "
    "--label_names audio_inputs --group_by_speech_length --do_train --do_eval "
    "--eval_strategy steps --eval_steps 10000 --prediction_loss_only "
    "--per_device_train_batch_size 8 --per_device_eval_batch_size 24 "
    "--gradient_accumulation_steps 8 --bf16 --learning_rate 5e-4 --weight_decay 0.01 "
    "--adam_beta1 0.9 --adam_beta2 0.999 --adam_epsilon 1e-8 --max_grad_norm 1.0 "
    '--max_steps 300000 --lr_scheduler_type "linear" --warmup_steps 32000 --logging_first_step '
    "--logging_steps 100 --save_steps 10000 --save_total_limit 10 --output_dir ./runs/libriheavy "
    "--report_to tensorboard --disable_tqdm True --ddp_timeout 3600 --overwrite_output_dir"
)
LIBRIHEAVY_STREAM = [
    *LIBRIHEAVY,
    *shlex.split(
        "--finetune_path ./runs/libriheavy/checkpoint-300000/model.safetensors --stream_n 5 "
        "--stream_m 45 --learning_rate 3e-4 --max_steps 100000 --warmup_steps 10000 "
        "--output_dir ./runs/libriheavy_stream"
    ),
]
