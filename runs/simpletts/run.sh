#!/usr/bin/env bash
# SimpleTTS's language model, or its flow, on JSON lines, with the published settings.
#
#     TRAIN=train.jsonl EVAL=eval.jsonl bash runs/simpletts/run.sh
#     TRAIN=train.jsonl EVAL=eval.jsonl MODEL=dit bash runs/simpletts/run.sh
#
# README.md tells what it needs. The same command continues an interrupted run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
PYTHON=${PYTHON:-python}
GPUS=${GPUS:-8}
PRETRAINED=${PRETRAINED:-pretrained}
MODEL=${MODEL:-llm}
declare -A outputs=([llm]=s1_output [dit]=s2_output)

"$PYTHON" -m torch.distributed.run --standalone --nnodes=1 --nproc_per_node="$GPUS" \
    "$here/../../scripts/train_$MODEL.py" \
    --data_path "$TRAIN" --eval_data_path "$EVAL" --bf16 True \
    --output_dir "${OUTPUT:-${outputs[$MODEL]}}" --max_steps 100000 \
    --per_device_train_batch_size 8 --per_device_eval_batch_size 1 --save_steps 8000 \
    --learning_rate 3e-4 --weight_decay 0.01 --adam_beta2 0.95 --warmup_steps 25000 \
    --lr_scheduler_type cosine --gradient_checkpointing \
    --dataloader_num_workers 4 --dataloader_prefetch_factor 10 \
    --campplus_onnx_path "$PRETRAINED/campplus.onnx" \
    --speech_tokenizer "$PRETRAINED/speech_tokenizer_v1.onnx" --logging_steps=500 \
    ${DEEPSPEED:+--deepspeed "$here/conf/ds_config_zero1.json"} "$@"
