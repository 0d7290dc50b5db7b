#!/usr/bin/env bash
# The published offline model, from downloaded Libriheavy to 300,000 steps on 8 GPUs.
#
#     DATA=/data bash runs/libriheavy/run.sh
#
# DATA holds download/librilight (the audio) and libriheavy/libriheavy_cuts_*.jsonl.gz, and gets
# all that is made of them; the model goes to runs/libriheavy. Every stage continues where it was
# interrupted: start the same command again.
set -euo pipefail
cd "$(dirname "$0")/../.."

DATA=${DATA:-data}
GPUS=${GPUS:-8}
WORKERS=${WORKERS:-16}
CODEC=${CODEC:-facebook/encodec_24khz}
PYTHON=${PYTHON:-python}

prepare() { # prepare SPLIT SUBSET...: one checked manifest of several official ones
    local split=$1
    shift
    "$PYTHON" -m sled prepare libriheavy --split "$split" --audio_dir "$DATA" \
        --input "${@/#/$DATA/libriheavy/libriheavy_cuts_}" \
        --output "$DATA/sled" --num_workers "$WORKERS"
}

cache() { # cache SPLIT: codes of one split, encoded once
    "$PYTHON" -m torch.distributed.run --nproc_per_node "$GPUS" -m sled cache codes \
        --manifest "$DATA/sled/cuts_$1.jsonl.gz" --codec "$CODEC" \
        --output "$DATA/sled/codes_$1" --on_bad skip
}

prepare train small.jsonl.gz medium.jsonl.gz large.jsonl.gz
prepare dev dev.jsonl.gz
[ -f "$DATA/sled/tokenizer/merges.txt" ] || "$PYTHON" -m sled tokenizer \
    --input "$DATA/sled/cuts_train.jsonl.gz" --vocab_size 16384 --output "$DATA/sled/tokenizer"
cache train
cache dev

# The published flags, word for word, and where the data lies.
"$PYTHON" -m torch.distributed.run --nproc_per_node "$GPUS" scripts/train_libriheavy.py \
    --training_cfg 0.1 --num_hidden_layers 12 --diffloss_d 6 --noise_channels 128 \
    --dataloader_num_workers 8 --dataloader_pin_memory True --remove_unused_columns False \
    --label_names audio_inputs --group_by_speech_length \
    --do_train --do_eval --eval_strategy steps --eval_steps 10000 --prediction_loss_only \
    --per_device_train_batch_size 8 --per_device_eval_batch_size 24 \
    --gradient_accumulation_steps 8 --bf16 \
    --learning_rate 5e-4 --weight_decay 0.01 --adam_beta1 0.9 --adam_beta2 0.999 \
    --adam_epsilon 1e-8 --max_grad_norm 1.0 --max_steps 300000 \
    --lr_scheduler_type "linear" --warmup_steps 32000 --logging_first_step --logging_steps 100 \
    --save_steps 10000 --save_total_limit 10 --output_dir ./runs/libriheavy \
    --report_to tensorboard --disable_tqdm True --ddp_timeout 3600 --overwrite_output_dir \
    --train_manifest "$DATA/sled/codes_train" --eval_manifest "$DATA/sled/codes_dev" \
    --codec "$CODEC" --tokenizer "$DATA/sled/tokenizer" --max_eval_samples 2000
