#!/usr/bin/env bash
# The published streaming model: 100,000 steps from the offline one that runs/libriheavy/run.sh
# makes, on the same data.
#
#     DATA=/data bash runs/libriheavy_stream/run.sh
#
# It continues where it was interrupted: start the same command again.
set -euo pipefail
cd "$(dirname "$0")/../.."

DATA=${DATA:-data}
GPUS=${GPUS:-8}
CODEC=${CODEC:-facebook/encodec_24khz}
PYTHON=${PYTHON:-python}

# The published flags, word for word, and where the data lies.
"$PYTHON" -m torch.distributed.run --nproc_per_node "$GPUS" scripts/train_libriheavy_stream.py \
    --finetune_path ./runs/libriheavy/checkpoint-300000/model.safetensors \
    --stream_n 5 --stream_m 45 \
    --training_cfg 0.1 --num_hidden_layers 12 --diffloss_d 6 --noise_channels 128 \
    --dataloader_num_workers 8 --dataloader_pin_memory True --remove_unused_columns False \
    --label_names audio_inputs --group_by_speech_length \
    --do_train --do_eval --eval_strategy steps --eval_steps 10000 --prediction_loss_only \
    --per_device_train_batch_size 8 --per_device_eval_batch_size 24 \
    --gradient_accumulation_steps 8 --bf16 \
    --learning_rate 3e-4 --weight_decay 0.01 --adam_beta1 0.9 --adam_beta2 0.999 \
    --adam_epsilon 1e-8 --max_grad_norm 1.0 --max_steps 100000 \
    --lr_scheduler_type "linear" --warmup_steps 10000 --logging_first_step --logging_steps 100 \
    --save_steps 10000 --save_total_limit 10 --output_dir ./runs/libriheavy_stream \
    --report_to tensorboard --disable_tqdm True --ddp_timeout 3600 --overwrite_output_dir \
    --train_manifest "$DATA/sled/codes_train" --eval_manifest "$DATA/sled/codes_dev" \
    --codec "$CODEC" --tokenizer "$DATA/sled/tokenizer" --max_eval_samples 2000
