#!/usr/bin/env bash
# The whole experiment on a laptop CPU: a teacher voice reads digit strings, a codec and a model
# learn from it, and Whisper listens. At most 90 minutes on two cores.
#
#     pip install -e '.[teacher,eval]' && bash runs/digits/run.sh
#
# Every stage continues where it was interrupted and is skipped once it is done (a file in
# stages/); delete the file, and those after it, to do a stage again. The judge is Whisper base,
# from the hub, or from the folder that WHISPER names.
set -euo pipefail
cd "$(dirname "$0")/../.."

RUN=${RUN:-runs/digits/out}
PYTHON=${PYTHON:-python}
mkdir -p "$RUN/stages"

stage() { # stage NAME COMMAND...: run the command once, and note how long it took
    local name=$1 start=$SECONDS
    shift
    [ -f "$RUN/stages/$name" ] && return
    echo "== $name"
    "$@"
    echo "$((SECONDS - start)) s" | tee "$RUN/stages/$name"
}

cache() { # cache SPLIT: codes of one split
    "$PYTHON" scripts/cache_latents.py --manifest "$RUN/data/cuts_$1.jsonl.gz" \
        --codec "$RUN/codec" --output_dir "$RUN/codes/$1"
}

train() { # train OUTPUT_DIR FLAGS...: what pretraining and fine-tuning share
    local output=$1
    shift
    "$PYTHON" scripts/train.py --output_dir "$output" \
        --train_manifest "$RUN/codes/train" --eval_manifest "$RUN/codes/valid" \
        --codec "$RUN/codec" --tokenizer "$RUN/tokenizer" \
        --use_cpu --bf16 --max_frames_per_batch 800 --per_device_eval_batch_size 8 \
        --history_noise 1.5 --dropout 0 --attention_dropout 0 --activation_dropout 0 \
        --learning_rate 1.5e-3 --weight_decay 0.01 --adam_beta2 0.98 --max_grad_norm 1.0 \
        --save_steps 250 --save_total_limit 2 --logging_steps 50 --eval_strategy steps \
        --eval_steps 500 --prediction_loss_only --report_to tensorboard --seed 0 "$@"
}

stage data "$PYTHON" scripts/prepare_digits.py --output "$RUN/data"
stage tokenizer "$PYTHON" scripts/train_tokenizer.py --input "$RUN/data/cuts_train.jsonl.gz" \
    --vocab_size 301 --output_dir "$RUN/tokenizer"
stage codec "$PYTHON" scripts/train_codec.py --train_manifest "$RUN/data/cuts_train.jsonl.gz" \
    --eval_manifest "$RUN/data/cuts_valid.jsonl.gz" --output_dir "$RUN/codec" --num_filters 16 \
    --max_steps 3000 --segment_s 0.64 --loudness_db -25 --adversarial_at 0.6
stage codes_train cache train
stage codes_valid cache valid
# The learning rate stays up until fine-tuning brings it down: no step is spent on cooling twice.
stage offline train "$RUN/offline" --max_steps 6000 --lr_scheduler_type constant_with_warmup \
    --warmup_steps 200 --hidden_size 256 --intermediate_size 688 --num_hidden_layers 6 \
    --num_attention_heads 4 --diffloss_d 3 --diffloss_w 384 --noise_channels 64 \
    --max_position_embeddings 1024
# Half of the batches stay offline, so that one checkpoint speaks in both layouts.
stage stream train "$RUN/stream" --max_steps 5000 --lr_scheduler_type linear --warmup_steps 50 \
    --finetune_path "$RUN/offline" --stream_n 5 --stream_m 45 --offline_share 0.5
stage results "$PYTHON" scripts/evaluate.py --manifest "$RUN/data/cuts_test.jsonl.gz" \
    --model "$RUN/stream" --codec "$RUN/codec" --whisper "${WHISPER:-base}" \
    --output "$RUN/results" --save_audio
stage export "$PYTHON" scripts/export.py --model "$RUN/stream" --codec "$RUN/codec" \
    --output "$RUN/export"

cat "$RUN/results/results.md"
echo "The model to ship is in $RUN/export; each stage's time is in $RUN/stages."
